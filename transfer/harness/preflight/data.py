"""Which data the runs of a plan are about: each data set is listed, in a process of its own, and missing demo data is
written before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer.harness.plan.data_roots import DataRoots
from transfer.harness.plan.known_data import Fingerprints
from transfer.harness.preflight.check import Report, answers_of, data_probes
from transfer.harness.preflight.probe import fingerprint_key
from transfer.task import TaskSpec


@dataclass(frozen=True)
class DataSeen:
    """Fingerprints of the data of tasks, and why there are none of others, by task name."""

    fingerprints: Fingerprints
    problems: dict[str, list[str]]


def look_at_data(
    specs: Iterable[TaskSpec], roots: DataRoots, folders: Sequence[Path], out: Path, report: Report, write: bool = True
) -> DataSeen:
    """Lists the data of the tasks ``specs``; digests of large files are kept in ``out``.

    Args:
        write: whether missing demo data is written.
    """
    tasks = {spec.name: spec for spec in specs if spec.dataset is not None}
    probes = [*data_probes(tasks.values(), roots, folders, write=write, digests=out / "digests.json")]
    answers = answers_of(probes, report)
    seen = {name: digits[0] for name in tasks if (digits := answers.get(fingerprint_key(name)))}
    return DataSeen(seen, {name: answers.get(name, []) for name in tasks if name not in seen})
