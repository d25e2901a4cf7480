"""What a table shows: one YAML file per table under ``tables/``.

    title: COCO val2017, ViTDet Mask R-CNN
    caption: what a reader must know about the numbers
    published: crossmae_table2                               # published numbers stand next to ours
    rows:
      - {name: BEiT}                                         # no backbone: published only
      - {name: CrossMAE, backbone: "crossmae75_{arch}"}
      - {backbone: "*_{arch}"}                               # a row for every other backbone
    pretraining: [images, minutes]                           # what each row's pretraining took, from its record
    columns:
      - {name: box AP ViT-B, task: coco_vitdet, metric: box_ap, values: {arch: vit_b16}}

A cell is chosen by what its row and its column say together, so methods may as well be columns.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from crossmae.errors import UserError
from crossmae.parsing import Strict, parse, read_yaml

FOLDER = Path(__file__).parents[1] / "data" / "tables"

_LESS = frozenset({"minutes_per_epoch", "ms_per_step", "memory_mb", "loss", "mce", "rmse", "abs_rel"})


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better."""
    return metric in _LESS or metric.startswith("error_")


@dataclass(frozen=True)
class TableLine(Strict):
    """A row or a column: a heading and its share of what chooses a cell.

    ``{key}`` in ``backbone``, ``metric`` and ``recipe`` stands for one of ``values``; a ``*`` in a row's backbone makes
    a row of each backbone that no other row shows.
    """

    name: str = ""
    task: str | None = None
    metric: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    seed: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    published: str | None = None
    """Name of this line in the published table, by default ``name``; "" for none."""
    best: str = "max"
    """``max``, ``min`` or ``none``: which of our numbers is emphasised in a column."""
    decimals: int = 1
    pretraining: Literal["images", "minutes"] | None = None
    """Not a metric but what the row's backbone took: millions of images seen, or device-minutes, in pretraining."""
    machine: bool = False
    """The numbers of this column depend on the machine, which is named; they are not set against published ones."""


@dataclass(frozen=True)
class ReferenceRow(Strict):
    """A row of published numbers that stand apart: per column ``published table / row / column``, or null."""

    name: str
    numbers: tuple[str | None, ...]


@dataclass(frozen=True)
class Reference(Strict):
    """Published numbers under a table whose own numbers must not be compared with them."""

    title: str
    rows: tuple[ReferenceRow, ...]


@dataclass(frozen=True)
class TableSpec(Strict):
    """One ``tables/NAME.yaml``."""

    title: str
    rows: tuple[TableLine, ...]
    columns: tuple[TableLine, ...]
    caption: str = ""
    published: str | None = None
    reference: Reference | None = None
    pretraining: tuple[Literal["images", "minutes"], ...] = ()
    """Columns at the end: what pretraining took, once for each size of model that the columns name."""
    adapts: bool = False
    """Columns of tasks without any run are left out."""
    own_tasks: bool = False
    """Of a table that adapts: a task that no built-in table shows gets a column, if it ran."""
    name: str = ""


def load_table(name: str) -> TableSpec:
    """The built-in table ``name``, or the table in the YAML file ``name``.

    Raises:
        UserError: there is no such table, or its file is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no table {name!r}", f"known: {', '.join(table_names())}, or the path of a YAML file")
    spec = parse(TableSpec, read_yaml(path), str(path))
    return replace(spec, name=path.stem, columns=(*spec.columns, *_cost_columns(spec)))


def _cost_columns(spec: TableSpec) -> Iterator[TableLine]:
    headings = {"images": "pretraining, million images", "minutes": "pretraining, device-minutes"}
    sizes = [column.values for column in spec.columns]
    for values in (values for place, values in enumerate(sizes) if values not in sizes[:place]):
        for kind in spec.pretraining:
            name = ", ".join([headings[kind], *(str(value) for value in values.values())])
            decimals, machine = (2, False) if kind == "images" else (1, True)
            yield TableLine(
                name, values=values, published="", best="none", decimals=decimals, pretraining=kind, machine=machine
            )


def table_names() -> list[str]:
    """All built-in tables, in the order of their names and numbers."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=_name_and_number)


def _name_and_number(name: str) -> tuple[str, int, str]:
    word, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", name).groups()  # type: ignore[union-attr]  # matches any text
    return word, int(number or 0), rest


def crossing(row: TableLine, column: TableLine) -> TableLine:
    """What chooses a cell: what its row and its column say together; the row has the word where both speak."""
    values = {**column.values, **row.values}
    backbone, metric, recipe = (
        _filled(_either(row, column, name), values) for name in ("backbone", "metric", "recipe")
    )
    task, seed = (_either(row, column, name) for name in ("task", "seed"))
    return replace(column, task=task, metric=metric, backbone=backbone, recipe=recipe, seed=seed)


def _either(row: TableLine, column: TableLine, name: str) -> Any:
    own = getattr(row, name)
    return getattr(column, name) if own is None else own


def _filled(value: Any, values: dict[str, Any]) -> Any:
    for key, text in values.items() if isinstance(value, str) else ():
        value = value.replace(f"{{{key}}}", str(text))
    return value
