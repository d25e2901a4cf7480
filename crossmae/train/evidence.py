"""An update that was not finite: what is kept of it, and the same update once more, to see where it began.

``nonfinite/step-00000042.rank-0.pt`` holds, for the process of rank 0, the micro-batches as the loss was given them
(with the noise that masks are drawn from), the numbers that seed the global generators for each, and the recipe. The
weights from before the update lie next to it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossmae.data.keyed import seed_libraries
from crossmae.errors import UserError
from crossmae.parsing import CountOrZero, Strict, parse
from crossmae.train.batches import to_device
from crossmae.train.checkpoint.manager import NONFINITE
from crossmae.train.checkpoint.state_file import plain, states
from crossmae.train.workload import Learner
from crossmae.weights.files import read_content, write_torch


@dataclass(frozen=True)
class Circumstances(Strict):
    """What a process knew of the update besides its samples; plain values."""

    step: CountOrZero
    seed: int
    places: tuple[CountOrZero, ...]
    """Of each micro-batch in the update, over all processes: the generators are seeded by seed, step and place."""
    accumulation: int
    identity: Mapping[str, Any]
    """Of the workload, its recipe for instance."""
    execution: Mapping[str, Any]
    """With its precision settled."""


@dataclass(frozen=True)
class Evidence:
    """What is left of an update that was not finite, on one process."""

    path: Path
    circumstances: Circumstances
    batches: list[Any]
    model: Mapping[str, Tensor]
    """Weights from before the update."""


def keep_evidence(folder: Path, rank: int, circumstances: Circumstances, batches: list[Any]) -> None:
    """Writes what this process knows of the update."""
    content = {"circumstances": asdict(circumstances), "batches": to_device(batches, torch.device("cpu"))}
    path = folder / f"step-{circumstances.step:08d}.rank-{rank}.pt"
    write_torch(plain(content), path)


def read_evidence(folder: Path) -> Iterator[Evidence]:
    """What every process left in a run's folder, or in its ``nonfinite``, of the newest such update.

    Raises:
        UserError: there is nothing, or it cannot be read.
    """
    folder = folder / NONFINITE if (folder / NONFINITE).is_dir() else folder
    newest = next(iter(states(folder)), None)
    paths = sorted(folder.glob(f"step-{newest.step:08d}.rank-*.pt")) if newest else []
    state = newest.load() if newest and paths else None
    if state is None or not isinstance(state.get("model"), dict):
        raise UserError(f"{folder} holds nothing to replay", "name the folder of a run that ended as not finite")
    for path in paths:
        content = read_content(path)
        circumstances = parse(Circumstances, content.get("circumstances"), str(path))
        batches = content.get("batches")
        if not isinstance(batches, list) or len(batches) != len(circumstances.places):
            raise UserError(f"{path} has not one micro-batch for each place")
        yield Evidence(path, circumstances, batches, state["model"])


def first_not_finite(evidence: Evidence, learner: Learner, device: torch.device) -> str | None:
    """Repeats the update and says which tensor is the first that is not finite; None if all are.

    Raises:
        UserError: the weights are of another model.
    """
    now, bf16 = evidence.circumstances, evidence.circumstances.execution.get("precision") == "bf16"
    model = learner.model().to(device)
    try:
        model.load_state_dict(evidence.model)
    except Exception as error:  # what is no state of this model fails in every way there is
        raise UserError(f"the weights next to {evidence.path} are of another model") from error
    if wrong := next((name for name, weight in model.state_dict().items() if _is_bad(weight)), None):
        return f"the weight {wrong} before the update ({_described(model.state_dict()[wrong])})"
    model.train()
    with _watching(model) as found:
        for batch, place in zip(evidence.batches, now.places, strict=True):
            if bad := _first_bad(batch, "the samples"):
                return bad
            seed_libraries(now.seed, now.step, place)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
                loss = learner.loss(model, to_device(batch, device))
            if not found and _is_bad(loss):
                found.append(f"the loss ({loss.item()}), of finite outputs")
            if not found:
                (loss / now.accumulation).backward()
            if found:
                return found[0]
    return None


@contextmanager
def _watching(model: nn.Module) -> Iterator[list[str]]:
    """Notes every input, output and gradient that is not finite, in the order of the calculation."""
    found: list[str] = []
    names = {module: name or "the model" for name, module in model.named_modules()}

    def note(what: str, value: Any) -> None:
        if not found and (bad := _first_bad(value, what)):
            found.append(bad)

    def watch(module: nn.Module, name: str) -> Iterator[Any]:
        kind = f"{name} ({type(module).__name__})"
        yield module.register_forward_pre_hook(lambda _, inputs: note(f"an input of {kind}", inputs))
        yield module.register_forward_hook(lambda _module, _inputs, output: note(f"the output of {kind}", output))

    handles = [handle for module, name in names.items() for handle in watch(module, name)]
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            handles.append(parameter.register_hook(lambda grad, name=name: note(f"the gradient of {name}", grad)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _first_bad(value: Any, what: str) -> str | None:
    if isinstance(value, Tensor):
        return f"{what} ({_described(value)})" if _is_bad(value) else None
    if isinstance(value, Mapping):
        return next((bad for name, part in value.items() if (bad := _first_bad(part, f"{what}, {name}"))), None)
    if isinstance(value, list | tuple):
        return next((bad for part in value if (bad := _first_bad(part, what))), None)
    return None


def _is_bad(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not bool(tensor.isfinite().all())


def _described(tensor: Tensor) -> str:
    shape = " x ".join(map(str, tensor.shape))
    nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
    return f"{shape or 'a number'}: {nan} not a number, {infinite} infinite"
