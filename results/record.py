"""The one schema of a result: what a finished run leaves behind, and what a failed try leaves beside it."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from results.checked import build

SCHEMA_VERSION = 1


class RecordError(ValueError):
    """A record that cannot be read; the message names the file and the reason in one line."""


@dataclass(frozen=True)
class TaskRef:
    """The task that was run."""

    name: str
    version: int


@dataclass(frozen=True)
class BackboneRef:
    """The backbone that was measured.

    ``lineage`` is known before anything runs (a file's digest, or recipe hash and seed of a pretraining run);
    ``digest`` is that of the weights that were really loaded; ``pretraining`` says how they were made.
    """

    name: str
    lineage: dict[str, Any]
    digest: str | None = None
    pretraining: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeRef:
    """The resolved recipe. ``hash`` covers ``protocol`` only."""

    name: str
    hash: str
    source: str
    protocol: dict[str, Any]
    execution: dict[str, Any]


@dataclass(frozen=True)
class Cost:
    """What the run took. Memory in bytes, throughput in images per second of training."""

    wall_seconds: float
    device_hours: float
    peak_memory_bytes: int | None = None
    images_per_second: float | None = None
    estimated_device_hours: float | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything needed to repeat the run and to judge it."""

    command: str
    git_commit: str | None
    git_dirty: bool | None
    hardware: dict[str, Any]
    packages: dict[str, str]
    started: str
    finished: str


@dataclass(frozen=True)
class Record:
    """A finished run: ``record.json``. Metrics are plain numbers, in percent where the field uses percent."""

    identity: str
    task: TaskRef
    backbone: BackboneRef
    seed: int
    metrics: dict[str, float]
    recipe: RecipeRef
    deviations: tuple[str, ...]
    artifacts: dict[str, str]
    cost: Cost
    provenance: Provenance
    status: str = "done"
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """The inverse of ``to_dict``, validated.

        Raises:
            RecordError: missing or unknown field, wrong type, a metric that is no finite number, or another schema.
        """
        record: Self = _checked(cls, content, "record")
        if record.status != "done":
            raise RecordError(f"status is {record.status!r}; only finished runs leave records")
        for name, value in record.metrics.items():
            if not math.isfinite(value):
                raise RecordError(f"metric {name} is {value}")
        return record


@dataclass(frozen=True)
class Attempt:
    """A try that did not finish: ``attempts/N.json``. ``reason`` is one line; ``retryable`` if a retry may mend it."""

    reason: str
    exit_code: int | None
    retryable: bool
    started: str
    finished: str
    command: str
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """The inverse of ``to_dict``, validated.

        Raises:
            RecordError: missing or unknown field, wrong type, or another schema.
        """
        attempt: Self = _checked(cls, content, "attempt")
        return attempt


def _checked(kind: type[Any], content: Any, name: str) -> Any:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "; install a newer version of this software" if newer else ""
        raise RecordError(f"schema version {version}, but this installation reads {SCHEMA_VERSION}{remedy}")
    try:
        return build(kind, content, name)
    except ValueError as error:
        raise RecordError(str(error)) from error
