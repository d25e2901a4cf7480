"""``run.json``: everything that a run's own process needs to know."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crossmae.data.images import GENERATED, is_generated
from crossmae.errors import UserError, one_line
from crossmae.files import write_json
from crossmae.parsing import Strict, parse_file
from crossmae.recipe import Recipe
from transfer.harness.folder.expected import Expected
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.plan import Run
from transfer.task import TaskSpec


@dataclass(frozen=True)
class Request(Strict):
    """``run.json``: everything that a run's own process needs to know."""

    identity: str
    task: TaskSpec
    recipe: Recipe
    backbone: str
    source: str | None
    lineage: Mapping[str, Any]
    seed: int
    data_root: str | None
    task_folders: tuple[str, ...]
    """Where users' adapters lie."""
    devices: int
    precision: str
    """``fp32``, ``bf16`` or ``auto``."""
    deviations: tuple[str, ...]
    command: str
    data: str | None = None
    """Fingerprint of the data."""
    estimated_device_hours: float | None = None
    weights: str | None = None
    """A finished model, which is evaluated and not trained."""
    tuning: dict[str, Any] | None = None
    """How values of the recipe were chosen, with all trials."""


def write_request(folder: Path, request: Request) -> None:
    """Writes ``folder/run.json``, whole or not at all."""
    write_json(asdict(request), folder / "run.json")


def read_request(folder: Path) -> Request:
    """The inverse of ``write_request``.

    Raises:
        UserError: there is no readable ``run.json``.
    """
    try:
        return parse_file(Request, folder / "run.json")
    except UserError as error:
        raise UserError(f"{folder} holds no readable run.json ({one_line(error)})", "start runs by run_all") from error


def request_for(
    run: Run, roots: DataRoots, task_folders: Iterable[Path], command: str, expected: Expected | None = None
) -> Request:
    """What the process of ``run`` needs to know; the launcher sets how many devices it really gets."""
    dataset = run.task.dataset
    generated = dataset is not None and is_generated(roots.of(dataset))
    return Request(
        identity=run.identity,
        task=run.task,
        recipe=run.recipe,
        backbone=run.backbone,
        source=run.source,
        lineage=run.lineage,
        seed=run.seed,
        data_root=None if dataset is None else str(roots.of(dataset).resolve()),
        task_folders=tuple(str(folder.resolve()) for folder in task_folders),
        devices=run.devices,
        precision=run.recipe.execution.get("precision", "fp32"),
        deviations=(GENERATED,) if generated or (run.demo_data and dataset not in roots.named) else (),
        command=command,
        data=run.data,
        estimated_device_hours=None if expected is None else expected.device_hours,
        weights=None if run.weights is None else str(run.weights.resolve()),
        tuning=None if run.tuning is None else dict(run.tuning),
    )
