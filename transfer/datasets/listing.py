"""Lists of image files with labels: CSV and Parquet tables as people have them."""

from io import BytesIO, StringIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from crossmae.errors import UserError, one_line
from crossmae.files import read_regular

if TYPE_CHECKING:
    import pandas as pd

LIST_SUFFIXES = (".csv", ".tsv", ".parquet")
_NAMES = {
    "file": ("file", "file_name", "filename", "filepath", "file_path", "path", "image", "image_path", "img"),
    "label": ("label", "class", "class_name", "category", "target"),
    "split": ("split", "set", "subset", "partition"),
}
"""What columns are called, in the order of preference."""


class Row(NamedTuple):
    """An image of a list: its path below the data folder, its label, and its split where the list says one."""

    file: str
    label: str
    split: str | None


def read_list(path: Path, file_column: str | None = None, label_column: str | None = None) -> list[Row]:
    """The rows of the table ``path``.

    Raises:
        UserError: it is no such table, has no such columns, or a row without file or label, or names a file twice.
    """
    table = _table(path)
    columns = {str(name).strip().lower(): name for name in table.columns}
    file, label = (_column(path, columns, *pair) for pair in (("file", file_column), ("label", label_column)))
    split = next((columns[name] for name in _NAMES["split"] if name in columns), None)
    files, labels = (table[name].str.strip().tolist() for name in (file, label))
    splits = [None] * len(files) if split is None else table[split].str.strip().tolist()
    rows = [Row(*values) for values in zip(files, labels, splits, strict=True)]
    if not rows:
        raise UserError(f"{path} has no rows", "give a file and a label in each")
    _check(path, rows)
    return rows


def _table(path: Path) -> "pd.DataFrame":
    """All cells as text."""
    import pandas as pd

    try:
        content = read_regular(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(BytesIO(content)).astype(str)
        text = content.decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        return pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False).fillna("")
    except ImportError as error:
        raise UserError(f"{path}: Parquet needs pyarrow", "pip install pyarrow, or write a CSV file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({one_line(error, 80)})", "save it as CSV in UTF-8") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable table ({one_line(error, 160)})", "save it as CSV in UTF-8") from error


def _column(path: Path, columns: dict[str, str], kind: str, wanted: str | None) -> str:
    names = _NAMES[kind] if wanted is None else (wanted.strip().lower(),)
    for name in names:
        if name in columns:
            return columns[name]
    called = f"called {wanted!r}" if wanted else f"of {kind}s"
    raise UserError(
        f"{path} has no column {called}, only {', '.join(map(str, columns.values()))[:120]}",
        f"call it {kind!r}, or name it in the task's options: {{{kind}_column: ...}}",
    )


def _check(path: Path, rows: list[Row]) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if not (row.file and row.label):
            raise UserError(
                f"{path} line {number} has no {'label' if row.file else 'file'}", "fill it in, or remove it"
            )
        place = PurePosixPath(row.file)
        if place.is_absolute() or ".." in place.parts or "\0" in row.file:
            remedy = "name files relative to the data folder, and inside it"
            raise UserError(f"{path} line {number} leaves the data folder: {row.file[:80]!r}", remedy)
        first = seen.setdefault(row.file, number)
        if first != number:
            raise UserError(
                f"{path} line {number} names {row.file[:80]!r}, as line {first} does", "name each file once"
            )
