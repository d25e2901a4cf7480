"""Where every number comes from, down to the command that repeats it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from results.runs import StoredRecord, machine_name


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
    """A line per run, sorted by task, backbone and seed."""
    for stored in sorted(records, key=lambda one: (one.record.task.name, one.record.backbone.name, one.record.seed)):
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
