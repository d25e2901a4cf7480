"""An update of a pretraining recipe on a GPU that is not there: shapes only, at the recipe's own batch.

``python -m tests.cuda_without_gpu.shapes GUARD whole|shallow RECIPE...`` prints one JSON object: recipe to the lines in
which the host waits for the GPU within an update, and the update's peak memory in bytes. ``shallow`` leaves two blocks
of encoder and decoder: the same operations in a fraction of the time, for everything but the memory.
"""

import json
import sys
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any
from unittest import mock

from tests.cuda_without_gpu.guard import load

load(Path(sys.argv[1]))

import torch  # noqa: E402 (the guard comes first)
from torch import Tensor, nn  # noqa: E402
from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from crossmae.analysis.speed import synthetic_batch  # noqa: E402
from crossmae.model.config import MAEConfig  # noqa: E402
from crossmae.pretraining import workload  # noqa: E402
from crossmae.pretraining.recipe import read_recipe  # noqa: E402
from crossmae.pretraining.run import load_pretraining_recipe  # noqa: E402
from crossmae.pretraining.workload import Autoencoding  # noqa: E402
from crossmae.train.config import split_batch  # noqa: E402
from crossmae.train.runtime.distributed import World  # noqa: E402
from crossmae.train.step import Updates  # noqa: E402
from tests.cuda_without_gpu.waits import line_of_ours, wait_of  # noqa: E402


class Watch(TorchDispatchMode):
    """Adds up the living bytes of tensors on the GPU, and notes the waits."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living, self.peak = 0, 0
        self.waits: list[str] = []
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        first = next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
        on_gpu = first is not None and first.device.type == "cuda"
        if wait := wait_of(name, args, kwargs, on_gpu):
            self.waits.append(f"{wait}: {line_of_ours()}")
        if name == "_local_scalar_dense":
            return 0.0 if args[0].dtype.is_floating_point else args[0].dtype is not torch.bool and 0
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            self._count(leaf)
        return out

    def _count(self, leaf: Any) -> None:
        if not isinstance(leaf, Tensor) or leaf.device.type != "cuda":
            return
        storage = leaf.untyped_storage()
        if storage._cdata in self._sizes:
            return
        self._sizes[storage._cdata] = storage.nbytes()
        self.living += storage.nbytes()
        self.peak = max(self.peak, self.living)
        weakref.finalize(storage, self._release, storage._cdata)

    def _release(self, storage: int) -> None:
        self.living -= self._sizes.pop(storage)


def flash_attention(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """What CUDA takes for attention in bf16 without a mask; on a CPU, torch would choose another kernel."""
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, scale=options.get("scale"))[0]


class Event:
    """Stands for ``torch.cuda.Event``."""

    def record(self) -> None:
        """Nothing is computed, so nothing is recorded."""


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """A GPU without kernels: every tensor is a shape."""
    without_pinning = torch.empty_like

    def empty_like(*args: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        return without_pinning(*args, **options)

    changes: dict[str, Any] = {
        "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
        "torch.cuda.is_bf16_supported": lambda **_: True,
        "torch.cuda.Event": Event,
        "torch.empty_like": empty_like,
        "torch.nn.functional.scaled_dot_product_attention": flash_attention,
        "torch.nn.Module._apply": apply_to_parameters,
    }
    with ExitStack() as stack:
        for target, value in changes.items():
            stack.enter_context(mock.patch(target, value))
        stack.enter_context(FakeTensorMode())
        workload._statistics.cache_clear()
        yield
    workload._statistics.cache_clear()


def apply_to_parameters(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """``nn.Module._apply`` for tensors whose data cannot be swapped in place."""
    for child in module.children():
        apply_to_parameters(child, change)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                module._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def watch_update(recipe: str, is_shallow: bool) -> dict[str, Any]:
    """Waits and peak memory of one update, after one that makes the optimizer's state."""
    chosen = read_recipe(load_pretraining_recipe(recipe, ("compile=false",)), seed=0)
    if is_shallow:
        chosen = replace(chosen, model=shallow(chosen.model))
    with pretended_gpu(), Watch() as watch:
        split = split_batch(chosen.plan.global_batch, 8, chosen.execution.per_device_batch)
        world = World(0, 1, torch.device("cuda", 0))
        updates = Updates(Autoencoding(chosen), chosen.plan, chosen.execution, world, split)
        updates.prepare()
        batches = repeat(synthetic_batch(chosen, split.micro_batch, world.device))
        updates.make(0, 1e-3, batches, stop=False)
        watch.waits.clear()
        updates.make(1, 1e-3, batches, stop=True)
    return {"waits": sorted(set(watch.waits)), "peak": watch.peak, "micro_batch": split.micro_batch}


def shallow(model: MAEConfig) -> MAEConfig:
    """``model`` with two blocks, and with as many of its feature maps as that leaves."""
    maps = model.feature_maps
    kept = maps if isinstance(maps, str) or maps is None else tuple(range(min(len(maps), 2)))
    return replace(model, depth=2, decoder_depth=min(model.decoder_depth or 2, 2), feature_maps=kept)


if __name__ == "__main__":
    print(json.dumps({recipe: watch_update(recipe, sys.argv[2] == "shallow") for recipe in sys.argv[3:]}))
