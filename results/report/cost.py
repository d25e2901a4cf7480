"""What the runs took: device-hours, estimate beside actual."""

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
    """A line per task and machine. The estimate is shown only if every run of the line had one."""
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
