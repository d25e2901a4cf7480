"""What the paper claims: one YAML file per table of the paper under ``data/claims``.

    published: crossmae_table3a                              # numbers are taken from there and typed nowhere else
    shared: {task: imagenet_finetune, metric: top1, column: top-1, noise: [crossmae_seeds]}
    claims:
      - name: self_attention_adds_nothing
        sentence: Self-attention among mask tokens adds nothing.
        relation: at_most_less
        margin: 0.2                                          # in the metric's unit; ours, for the paper states none
        a: {row: CrossMAE, method: crossmae75}
        b: {row: CrossMAE + self-attention, method: crossmae75_selfattention}

``results/data/scales.yaml`` says under which names a method was trained at which scale, ``noise.yaml`` how much a
number varies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotEmpty, Positive, Strict, parse, read_yaml
from results.tables.published import PublishedNumber, find_number, load_published
from results.tables.scales import Scale
from results.tables.spec import TableLine

FOLDER = Path(__file__).parents[1] / "data" / "claims"


class Relation(StrEnum):
    """What a claim says of its difference a - b, or of the spread of its only cell."""

    GREATER = "greater"
    CHEAPER = "cheaper"
    AT_MOST_LESS = "at_most_less"
    EQUAL_WITHIN = "equal_within"
    VARIES_LESS = "varies_less"
    """The standard deviation of one cell over seeds is below the margin."""


_WITH_MARGIN = frozenset({Relation.AT_MOST_LESS, Relation.EQUAL_WITHIN, Relation.VARIES_LESS})


@dataclass(frozen=True)
class ClaimCell(Strict):
    """One cell of a claim: a row of the published table, and the method of ours that belongs there."""

    row: str
    method: str
    column: str | None = None
    metric: str | None = None
    published: str | None = None
    """Another published table than the claim's, where the paper's own row is not like for like."""


@dataclass(frozen=True)
class Claim(Strict):
    """One claim. ``column`` and ``metric`` hold for both cells unless a cell names its own."""

    published: str
    name: str
    sentence: NotEmpty
    relation: Relation
    task: str
    metric: str
    column: str
    a: ClaimCell
    b: ClaimCell | None = None
    margin: Positive | None = None
    arch: str = "vit_b16"
    noise: tuple[str, ...] = ()
    own_recipes: bool = False
    """The two cells have different recipes of the task by the claim's own meaning, such as another resolution."""
    machine: bool = False
    """The numbers depend on the machine, which must be the same, and on the recipe, which is what is compared."""
    decimals: CountOrZero = 2

    def line(self, scale: Scale, cell: ClaimCell) -> TableLine | None:
        """What chooses the records of ``cell`` at ``scale``; None where the scale has no such backbone."""
        backbone = scale.backbone_of(cell.method, self.arch)
        return TableLine(task=self.task, metric=self.metric_of(cell), backbone=backbone) if backbone else None

    @property
    def table(self) -> str:
        """The table as the paper calls it, such as ``Table 3a``."""
        return load_published(self.published).table

    def metric_of(self, cell: ClaimCell) -> str:
        """The metric that ``cell`` is about."""
        return cell.metric or self.metric

    def number(self, cell: ClaimCell) -> PublishedNumber:
        """The published number of ``cell``.

        Raises:
            UserError: the published table has none.
        """
        table = cell.published or self.published
        number = find_number(table, cell.row, cell.column or self.column)
        if number is None:
            raise UserError(f"{table} gives no number for row {cell.row!r}, which claim {self.name} compares")
        return number


@dataclass(frozen=True)
class Noise(Strict):
    """How much one number varies when everything is repeated: one of the three fields without a text."""

    title: str
    source: str
    deviation: Positive | None = None
    """A published standard deviation, in the metric's unit."""
    runs: tuple[str, ...] = ()
    """Published runs that differ by their seed only, each as ``published table / row / column``."""
    samples: Count | None = None
    """Validation samples, for a binomial standard error."""

    def values(self) -> list[float]:
        """The numbers of ``runs``."""
        numbers = [find_number(*text.split(" / ")) for text in self.runs]
        return [number.value for number in numbers if number]


@dataclass(frozen=True)
class _ClaimFile(Strict):
    published: str
    claims: tuple[dict[str, Any], ...]
    shared: dict[str, Any] = field(default_factory=dict)


@cache
def load_claims() -> tuple[Claim, ...]:
    """Every claim, in the order of the paper's tables.

    Raises:
        UserError: a file is wrong, or names what was not published.
    """
    paths = sorted(FOLDER.glob("table*.yaml"), key=lambda path: (len(path.stem.rstrip("abcdef")), path.stem))
    return tuple(claim for path in paths for claim in _claims_in(path))


@cache
def load_noise() -> dict[str, Noise]:
    """Every known noise by name."""
    return {name: parse(Noise, values, name) for name, values in read_yaml(FOLDER / "noise.yaml").items()}


def _claims_in(path: Path) -> Iterator[Claim]:
    file = parse(_ClaimFile, read_yaml(path), str(path))
    for values in file.claims:
        claim = parse(Claim, {"published": file.published, **file.shared, **values}, str(path))
        if problem := next(_inconsistencies(claim), None):
            raise UserError(f"{path}: claim {claim.name} {problem}")
        yield claim


def _inconsistencies(claim: Claim) -> Iterator[str]:
    if (claim.margin is None) == (claim.relation in _WITH_MARGIN):
        yield f"has relation {claim.relation} and margin {claim.margin}"
    if (claim.b is None) != (claim.relation is Relation.VARIES_LESS):
        yield f"has relation {claim.relation} and the wrong number of cells"
    for name in set(claim.noise) - load_noise().keys():
        yield f"names the unknown noise {name}"
    for cell in filter(None, (claim.a, claim.b)):
        claim.number(cell)
