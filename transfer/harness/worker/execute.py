"""The work of a run, in its own process: load the adapter and the backbone, run the task, write the record."""

import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import Strict
from crossmae.recipe import Recipe
from crossmae.run.memory import peak_memory
from crossmae.run.rank import is_main, world_size
from crossmae.run.stop import EXIT_RESUME, Stopped, leaving_at_once
from crossmae.train.config import compiles
from results.record import BackboneRef, Cost, Provenance, RecipeRef, Record, TaskRef
from results.store import write_record
from transfer.harness.folder.attempts import now, seconds_in_attempts
from transfer.harness.folder.request import Request
from transfer.harness.worker.adapter import load_adapter
from transfer.harness.worker.failure import explain
from transfer.harness.worker.gpu import require_gpu
from transfer.task import Context

if TYPE_CHECKING:
    from crossmae.backbone import Backbone


@dataclass(frozen=True)
class Outcome(Strict):
    """How a process of a run ended."""

    exit_code: int
    reason: str = ""
    retryable: bool = False
    ended: float = field(default_factory=time.time)


class QuietContext(Context):
    """The context of the second and further processes of a run: the first process reports."""

    def progress(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        """Reports nothing."""


def execute(folder: Path, request: Request) -> Outcome:
    """Runs the task; the first process of a finished run writes ``record.json``."""
    try:
        with leaving_at_once():
            _work(folder, request)
    except Stopped as stop:
        return Outcome(EXIT_RESUME, str(stop) or "stopped, state saved", retryable=True)
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        return Outcome(1, *explain(error, request))
    return Outcome(0)


def _work(folder: Path, request: Request) -> None:
    started, clock = now(), time.monotonic()
    require_gpu()
    context = context_of(folder, request)
    task = load_adapter(request.task)
    backbone = _backbone(request)
    if request.tuning is not None:
        _note_tuning(context, request.tuning)
    if request.weights is None:
        metrics = task.run(backbone, request.recipe, context)
    else:
        metrics = task.evaluate(Path(request.weights), request.recipe, context)
    if is_main():
        request.task.check_metrics(metrics, evaluated=request.weights is not None)
        write_record(folder, _record(request, context, backbone, metrics, time.monotonic() - clock, started))


def context_of(folder: Path, request: Request) -> Context:
    """What the request says, for this process of the run."""
    kind = Context if is_main() else QuietContext
    return kind(
        folder=folder,
        data_root=None if request.data_root is None else Path(request.data_root),
        seed=request.seed,
        devices=request.devices,
        precision=_settled_precision(request.precision, request.recipe),
        deviations=list(request.deviations),
    )


def _note_tuning(context: Context, tuning: Mapping[str, Any]) -> None:
    """Leaves the choice and all trials with the run, and their number where its number is shown."""
    if is_main():
        write_json(tuning, context.folder / "tuning.json")
    context.artifact("tuning", context.folder / "tuning.json")
    trials = len(tuning["trials"])
    context.deviation(f"{', '.join(tuning['chosen'])}: the best of {trials} trials on a held-out part of train")


def _settled_precision(precision: str, recipe: Recipe) -> str:
    if precision in ("fp32", "bf16"):
        return precision  # without the seconds that torch takes to load
    import torch

    from crossmae.train.runtime.precision import settled

    return settled(precision, torch.device(_device_type(recipe)))


def _device_type(recipe: Recipe) -> str:
    """Where the run computes, ``cuda`` or ``cpu``: a recipe may keep to the CPU on a machine with GPUs."""
    import torch

    return "cuda" if recipe.execution.get("device", "auto") != "cpu" and torch.cuda.is_available() else "cpu"


def _backbone(request: Request) -> "Backbone | None":
    if request.source is None:
        return None
    from crossmae.backbone import Backbone

    return Backbone.load(request.source, seed=request.seed)


def _record(
    request: Request,
    context: Context,
    backbone: "Backbone | None",
    metrics: dict[str, float],
    seconds: float,
    started: str,
) -> Record:
    recipe = request.recipe
    wall = seconds + seconds_in_attempts(context.folder)
    return Record(
        identity=request.identity,
        task=TaskRef(request.task.name, request.task.version),
        backbone=_backbone_ref(request, backbone),
        seed=request.seed,
        # Those of the task's file first, in its order: the first one stands for the task where there is room for one.
        metrics={
            name: float(metrics[name]) for name in dict.fromkeys((*request.task.metrics, *metrics)) if name in metrics
        },
        recipe=_recipe_ref(recipe, context),
        deviations=tuple(dict.fromkeys([*recipe.deviations, *context.deviations])),
        artifacts=context.artifacts,
        cost=Cost(
            wall_seconds=wall,
            device_hours=wall * request.devices / 3600,
            peak_memory_bytes=peak_memory(),
            images_per_second=context.throughput,
            estimated_device_hours=request.estimated_device_hours,
        ),
        provenance=provenance(request.command, started),
        data=request.data,
    )


def _recipe_ref(recipe: Recipe, context: Context) -> RecipeRef:
    execution = {**recipe.execution, "precision": context.precision}
    if "compile" in execution:
        execution["compile"] = compiles(execution["compile"], _device_type(recipe))
    return RecipeRef(recipe.name, recipe.hash, recipe.source, recipe.protocol, execution)


def _backbone_ref(request: Request, backbone: "Backbone | None") -> BackboneRef:
    if backbone is None:
        return BackboneRef(request.backbone, dict(request.lineage))
    return BackboneRef(request.backbone, dict(request.lineage), backbone.digest, dict(backbone.about.pretraining))


def provenance(command: str, started: str) -> Provenance:
    """Everything needed to repeat the run, as it is at this moment in this process."""
    commit, dirty = git_state(Path(__file__).parent)
    return Provenance(
        command=command,
        git_commit=commit,
        git_dirty=dirty,
        hardware=hardware(),
        packages=loaded_packages(),
        started=started,
        finished=now(),
    )


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and whether tracked files differ from it; (None, None) outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit.strip(), bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))


def loaded_packages() -> dict[str, str]:
    """Versions of the distributions that this process has imported."""
    tops = {name.partition(".")[0] for name in sys.modules}
    names = {name for top, names in packages_distributions().items() if top in tops for name in names}
    return {name: version(name) for name in sorted(names)}


def hardware() -> dict[str, Any]:
    """Host, processor, memory and GPUs."""
    return {
        "host": platform.node(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": _gpus(),
        "processes": world_size(),
    }


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
