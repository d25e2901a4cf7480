"""From a planned run to what its process is told."""

from collections.abc import Callable, Mapping
from pathlib import Path

from transfer.harness.folder.expected import Expected
from transfer.harness.folder.request import Request
from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.plan import Run

DEMO_DEVIATION = "generated demo data"


def request_maker(
    roots: DataRoots, folders: tuple[Path, ...], command: str, estimates: Mapping[str, Expected]
) -> Callable[[Run, int], Request]:
    """A function that says what the process of a run on so many devices needs to know."""

    def request_of(run: Run, devices: int) -> Request:
        dataset, expected = run.task.dataset, estimates.get(run.identity)
        return Request(
            identity=run.identity,
            task=run.task,
            recipe=run.recipe,
            backbone=run.backbone,
            source=run.source,
            lineage=run.lineage,
            seed=run.seed,
            data_root=None if dataset is None else str(roots.of(dataset).resolve()),
            task_folders=tuple(str(folder.resolve()) for folder in folders),
            devices=devices,
            precision=run.recipe.execution.get("precision", "fp32"),
            deviations=(DEMO_DEVIATION,) if run.demo_data else (),
            command=command,
            estimated_device_hours=None if expected is None else expected.device_hours,
            weights=None if run.weights is None else str(run.weights.resolve()),
        )

    return request_of
