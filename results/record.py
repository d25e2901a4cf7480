"""The one schema of a result: what a finished run leaves, and what a try that did not finish leaves next to it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Self, TypeVar

from annotated_types import Interval

from crossmae.errors import UserError
from crossmae.parsing import Strict, parse_json

SCHEMA_VERSION = 1

MetricValue = Annotated[float, Interval(ge=-1e15, le=1e15)]
"""Beyond these bounds a number is a mistake, and sums of it would leave what a float can hold."""
Bytes = Annotated[int, Interval(ge=0, le=2**62)]
T = TypeVar("T")


class RecordError(UserError):
    """A record or attempt that cannot be read; readers of many records skip it."""


@dataclass(frozen=True)
class TaskRef(Strict):
    """The task that was run."""

    name: str
    version: int


@dataclass(frozen=True)
class BackboneRef(Strict):
    """The backbone that was measured.

    ``lineage`` is known before anything runs (a file's digest, or recipe hash and seed of a pretraining run);
    ``digest`` is that of the weights that were really loaded; ``pretraining`` says how they were made.
    """

    name: str
    lineage: dict[str, Any]
    digest: str | None = None
    pretraining: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RecipeRef(Strict):
    """The resolved recipe. ``hash`` covers ``protocol`` only."""

    name: str
    hash: str
    source: str
    protocol: dict[str, Any]
    execution: dict[str, Any]


@dataclass(frozen=True)
class Cost(Strict):
    """What the run took. Memory in bytes, throughput in images per second of training."""

    wall_seconds: float
    device_hours: float
    peak_memory_bytes: Bytes | None = None
    images_per_second: float | None = None
    estimated_device_hours: float | None = None


@dataclass(frozen=True)
class Provenance(Strict):
    """Everything needed to repeat the run and to judge it."""

    command: str
    git_commit: str | None
    git_dirty: bool | None
    hardware: dict[str, Any]
    packages: dict[str, str]
    started: str
    finished: str


@dataclass(frozen=True)
class Record(Strict):
    """A finished run: ``record.json``. Metrics are plain numbers, in percent where the field uses percent."""

    identity: str
    task: TaskRef
    backbone: BackboneRef
    seed: int
    metrics: dict[str, MetricValue]
    recipe: RecipeRef
    deviations: tuple[str, ...]
    artifacts: dict[str, str]
    cost: Cost
    provenance: Provenance
    data: str | None = None
    """Fingerprint of the data (names, sizes, labels); None for a task without data."""
    status: str = "done"
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Reads and checks a record.

        Args:
            where: what the content is called in an error, such as the name of its file.

        Raises:
            RecordError: missing or unknown field, wrong type, a metric that is no finite number, or another schema.
        """
        record = _checked(cls, content, where)
        if record.status != "done":
            raise RecordError(f"{where}: status is {record.status!r}; only finished runs leave records")
        return record

    @property
    def all_deviations(self) -> tuple[str, ...]:
        """Deviations of the run itself, then those of the pretraining that made its backbone."""
        inherited = self.backbone.pretraining.get("deviations")
        texts = [text for text in inherited if isinstance(text, str)] if isinstance(inherited, list) else []
        return tuple(dict.fromkeys((*self.deviations, *texts)))


@dataclass(frozen=True)
class Attempt(Strict):
    """A try that did not finish: ``attempts/N.json``. ``reason`` is one line; ``retryable`` if a retry may mend it."""

    reason: str
    exit_code: int | None
    retryable: bool
    started: str
    finished: str
    command: str
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Reads and checks an attempt.

        Raises:
            RecordError: missing or unknown field, wrong type, or another schema.
        """
        return _checked(cls, content, where)


def _checked(kind: type[T], content: bytes, where: str) -> T:
    try:
        value = parse_json(kind, content, where)
    except UserError as error:
        raise RecordError(*_better_reason(content, where, error)) from error
    if (version := getattr(value, "schema_version", None)) != SCHEMA_VERSION:
        raise RecordError(*_other_version(version, where))
    return value


def _better_reason(content: bytes, where: str, error: UserError) -> tuple[str, str]:
    """Says what is wrong with the file as a whole, if it is no JSON or of another schema, before any single field."""
    try:
        values = json.loads(content)
    except json.JSONDecodeError as wrong:
        return f"{where}: truncated or not JSON (line {wrong.lineno}: {wrong.msg})", ""
    except (UnicodeDecodeError, RecursionError):
        return f"{where}: not a text file", ""
    version = values.get("schema_version") if isinstance(values, dict) else None
    return (error.what, error.remedy) if version == SCHEMA_VERSION else _other_version(version, where)


def _other_version(version: object, where: str) -> tuple[str, str]:
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    remedy = "install a newer version of this software" if newer else ""
    return f"{where}: schema version {version}, but this installation reads {SCHEMA_VERSION}", remedy
