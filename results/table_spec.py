"""What a table shows: one YAML file per table under ``tables/``.

    title: COCO val2017, ViTDet Mask R-CNN
    caption: what a reader must know beside the numbers
    published: crossmae_table2                               # published numbers stand beside ours
    rows:
      - {name: BEiT}                                         # no backbone: published only
      - {name: CrossMAE, backbone: "crossmae75_{arch}"}
      - {backbone: "*_{arch}"}                               # a row for every other backbone
    columns:
      - {name: box AP ViT-B, task: coco_vitdet, metric: box_ap, arch: vit_b16}

A cell is chosen by what its row and its column say together, so methods may as well be columns.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import yaml

from results.checked import build

FOLDER = Path(__file__).parent / "tables"


class TableError(ValueError):
    """A table file that cannot be used; one line that names it."""


@dataclass(frozen=True)
class Line:
    """A row or a column: a heading and its share of what chooses a cell.

    ``arch`` stands for ``{arch}`` in backbone names; a ``*`` in a row's backbone makes a row of each backbone that no
    other row shows. ``published`` is the name of this line in the published table, by default ``name``; "" for none.
    """

    name: str = ""
    task: str | None = None
    metric: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    seed: int | None = None
    arch: str | None = None
    published: str | None = None
    best: str | None = None
    """``max`` or ``min``: which of our numbers is bold in a column."""
    decimals: int | None = None


@dataclass(frozen=True)
class ReferenceRow:
    """A row of published numbers that stand apart: per column ``published table / row / column``, or null."""

    name: str
    numbers: tuple[str | None, ...]


@dataclass(frozen=True)
class Reference:
    """Published numbers under a table whose own numbers must not be compared with them."""

    title: str
    rows: tuple[ReferenceRow, ...]


@dataclass(frozen=True)
class TableSpec:
    """One ``tables/NAME.yaml``."""

    title: str
    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    caption: str = ""
    published: str | None = None
    reference: Reference | None = None
    name: str = ""


def load_table(name: str) -> TableSpec:
    """The built-in table ``name``, or the table in the YAML file ``name``.

    Raises:
        TableError: there is no such table, or its file is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise TableError(f"no table {name!r}; known: {', '.join(table_names())}, or the path of a YAML file")
    try:
        spec: TableSpec = build(TableSpec, yaml.safe_load(path.read_text()), path.name)
    except (yaml.YAMLError, ValueError) as error:
        raise TableError(f"{path}: {' '.join(str(error).split())}") from error
    return replace(spec, name=path.stem)


def table_names() -> list[str]:
    """All built-in tables."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def crossing(row: Line, column: Line) -> Line:
    """What a row and a column say together; the row has the word where both speak."""
    said = {f.name: getattr(row, f.name) for f in fields(Line) if getattr(row, f.name) is not None}
    cell = replace(column, **said)
    if cell.backbone and cell.arch:
        cell = replace(cell, backbone=cell.backbone.replace("{arch}", cell.arch))
    return cell
