"""What the runs took, and where every number comes from, down to the command that repeats it."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from results.record import Cost
from results.runs import StoredRecord, machine_name


@dataclass(frozen=True)
class CostLine:
    """The cost of one task on one kind of machine. Throughput is the mean in images per second of training."""

    task: str
    machine: str
    runs: int
    device_hours: float
    estimated_device_hours: float | None
    images_per_second: float | None
    peak_memory_bytes: int | None


def cost_lines(records: Iterable[StoredRecord]) -> Iterator[CostLine]:
    """Yields a line per task and machine. The estimate is shown only if every run of the line had one."""
    groups: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for stored in records:
        groups[stored.record.task.name, machine_name(stored)].append(stored.record.cost)
    for (task, machine), costs in sorted(groups.items()):
        estimates = [cost.estimated_device_hours for cost in costs if cost.estimated_device_hours is not None]
        speeds = [cost.images_per_second for cost in costs if cost.images_per_second is not None]
        yield CostLine(
            task,
            machine,
            len(costs),
            sum(cost.device_hours for cost in costs),
            sum(estimates) if len(estimates) == len(costs) else None,
            sum(speeds) / len(speeds) if speeds else None,
            max((cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None), default=None),
        )


@dataclass(frozen=True)
class ProvenanceLine:
    """One run."""

    task: str
    backbone: str
    seed: int
    metrics: str
    recipe: str
    source: str
    lineage: str
    code: str
    machine: str
    packages: str
    finished: str
    command: str
    folder: str


def provenance_lines(records: Iterable[StoredRecord]) -> Iterator[ProvenanceLine]:
    """Yields a line per run, sorted by task, backbone and seed."""
    for stored in sorted(records, key=lambda run: run.order):
        record = stored.record
        yield ProvenanceLine(
            task=record.task.name,
            backbone=record.backbone.name,
            seed=record.seed,
            metrics=", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items()),
            recipe=f"{record.recipe.name} ({record.recipe.hash})",
            source=record.recipe.source,
            lineage=", ".join(f"{key} {value}" for key, value in record.backbone.lineage.items()),
            code=_code(record.provenance.git_commit, record.provenance.git_dirty),
            machine=machine_name(stored),
            packages=", ".join(f"{name} {version}" for name, version in record.provenance.packages.items()),
            finished=record.provenance.finished,
            command=record.provenance.command,
            folder=str(stored.folder),
        )


def _code(commit: str | None, dirty: bool | None) -> str:
    if commit is None:
        return "no git commit"
    return f"{commit[:10]}{' with local changes' if dirty else ''}"
