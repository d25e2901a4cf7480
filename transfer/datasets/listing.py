"""Lists of image files with labels: CSV and Parquet tables as people have them, one label an image or several.

Several labels an image, by the first of these rules that fits:

- the option ``label_separator`` says what separates labels in a cell; ``none`` says that a cell is one label;
- cells of the column of labels hold ``|`` or ``;``, or ``,`` where the column is called ``labels``, ``tags``,
  ``classes`` or ``categories``;
- there is no column of labels, and all columns but those of files and splits hold 0 and 1: one column a class.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from crossmae.errors import UserError, one_line
from crossmae.files import read_regular

if TYPE_CHECKING:
    import pandas as pd

LIST_SUFFIXES = (".csv", ".tsv", ".parquet")
_PLURALS = ("labels", "tags", "classes", "categories")
_NAMES = {
    "file": (
        "file",
        "file_name",
        "filename",
        "filepath",
        "file_path",
        "path",
        "image",
        "image_path",
        "image_name",
        "image_id",
        "img",
    ),
    "label": ("label", "class", "class_name", "category", "target", *_PLURALS),
    "split": ("split", "set", "subset", "partition"),
}
"""What columns are called, in the order of preference."""
_ROWS_LOOKED_AT = 1000


class Row(NamedTuple):
    """An image of a list: its path below the data folder, its labels, and its split where the list says one."""

    file: str
    labels: tuple[str, ...]
    split: str | None


class Listed(NamedTuple):
    """The rows of a list; ``several`` says how it gives an image several labels, or is empty; ``named`` says
    how its files are called, NAME being what it names, if that is no path of the data set.
    """

    rows: list[Row]
    several: str = ""
    named: str = ""
    backslashes: bool = False
    """Its paths are those of Windows, whose backslashes were read as slashes."""


def read_list(path: Path, options: Mapping[str, str] = MappingProxyType({})) -> Listed:
    """The table ``path``.

    Args:
        options: ``file_column``, ``label_column``, ``label_separator``; ``labels: several`` allows several an image.

    Raises:
        UserError: it is no such table, has no such columns, several labels where one is wanted, or a row without file
            or label, or names a file twice.
    """
    table = _Table(path, options)
    several = table.several
    if several and options.get("labels") != "several":
        remedy = "a task that extends multilabel_finetune or multilabel_linear takes them"
        if table.label is not None:
            remedy += "; options: {label_separator: none} says that they are names of classes"
        raise UserError(f"{path} gives an image several labels ({several})", remedy)
    files, labels, splits = table.text(table.file), table.labels(), table.splits()
    if backslashes := any("\\" in file for file in files) and not any("/" in file for file in files):
        files = [file.replace("\\", "/") for file in files]
    rows = [Row(*values) for values in zip(files, labels, splits, strict=True)]
    if not rows:
        raise UserError(f"{path} has no rows", "give a file and a label in each")
    _check(path, rows, bare=bool(several))
    return Listed(rows, several, backslashes=backslashes)


def gives_several(path: Path) -> bool:
    """Whether the table ``path``, by its first thousand rows, gives an image several labels."""
    try:
        return bool(_Table(path, {}, _ROWS_LOOKED_AT).several)
    except UserError:  # said when it is read
        return False


class _Table:
    """A table, and which columns say what.

    Raises:
        UserError: no such table or columns, or cells that hold several separators.
    """

    def __init__(self, path: Path, options: Mapping[str, str], most: int | None = None) -> None:
        self.path, self.content = path, _read(path, most)
        self.columns = {str(name).strip().lower(): name for name in self.content.columns}
        file = self._column("file", options.get("file_column"))
        self.file = file if file is not None else self._refuse("file", options.get("file_column"))
        self.split = self._column("split", None)
        self.label = self._column("label", options.get("label_column"))
        self.classes = self._classes() if self.label is None and "label_column" not in options else ()
        if self.label is None and not self.classes:
            self._refuse("label", options.get("label_column"))
        self.separator = None if self.label is None else self._separator(self.label, options.get("label_separator"))

    @property
    def several(self) -> str:
        """How an image has several labels; nothing if it has one."""
        if self.classes:
            return "one column a class"
        return f"{self.separator!r} between them" if self.separator else ""

    def text(self, column: str) -> list[str]:
        """The cells of a column."""
        cells: list[str] = self.content[column].str.strip().tolist()
        return cells

    def splits(self) -> Sequence[str | None]:
        """The split of each row; None without such a column."""
        return [None] * len(self.content) if self.split is None else self.text(self.split)

    def labels(self) -> list[tuple[str, ...]]:
        """Those of each row; each once."""
        if self.label is None:
            marks = zip(*(self.text(column) for column in self.classes), strict=True)
            names = [str(column).strip() for column in self.classes]
            return [tuple(n for n, mark in zip(names, row, strict=True) if mark in ("1", "1.0")) for row in marks]
        cells = self.text(self.label)
        if self.separator is None:
            return [(cell,) if cell else () for cell in cells]
        parts = ([part.strip() for part in cell.split(self.separator)] for cell in cells)
        return [tuple(dict.fromkeys(part for part in row if part)) for row in parts]

    def _column(self, kind: str, wanted: str | None) -> str | None:
        names = _NAMES[kind] if wanted is None else (wanted.strip().lower(),)
        return next((self.columns[name] for name in names if name in self.columns), None)

    def _refuse(self, kind: str, wanted: str | None) -> str:
        called = f"called {wanted!r}" if wanted else f"of {kind}s"
        raise UserError(
            f"{self.path} has no column {called}, only {', '.join(map(str, self.columns.values()))[:120]}",
            f"call it {kind!r}, or name it in the task's options: {{{kind}_column: ...}}",
        )

    def _classes(self) -> tuple[str, ...]:
        """The columns that are classes: all that are left, if two or more of them hold 0 and 1 alone."""
        rest = [column for column in self.content.columns if column not in (self.file, self.split)]
        strange = {column: set(self.text(column)) - {"0", "1", "0.0", "1.0"} for column in rest}
        binary = tuple(column for column in rest if not strange[column])
        if len(binary) < 2 or not len(self.content):
            return ()
        if len(binary) < len(rest):
            column = next(column for column in rest if strange[column])
            what = f"{self.path} has columns of 0 and 1 ({', '.join(binary[:3])}), and {column} holds"
            remedy = "take out columns that are no class, or correct the cells"
            raise UserError(f"{what} {min(strange[column])[:40]!r}", remedy)
        return binary

    def _separator(self, label: str, said: str | None) -> str | None:
        if said is not None:
            return None if said == "none" else said
        marks = ("|", ";", *((",",) if str(label).strip().lower() in _PLURALS else ()))
        cells = "\n".join(self.text(label))
        used = [mark for mark in marks if mark in cells]
        if len(used) > 1:
            what = f"{self.path}: cells of the column {label} hold {' and '.join(used)}"
            raise UserError(what, "say what separates labels in the task's options: {label_separator: ...}, or none")
        return used[0] if used else None


def _read(path: Path, most: int | None) -> "pd.DataFrame":
    """At most so many rows; all cells as text."""
    import pandas as pd

    try:
        content = read_regular(path)
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(BytesIO(content)).iloc[:most].astype(str)
        text = content.decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        return pd.read_csv(StringIO(text), sep=separator, dtype=str, keep_default_na=False, nrows=most).fillna("")
    except ImportError as error:
        raise UserError(f"{path}: Parquet needs pyarrow", "pip install pyarrow, or write a CSV file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8 ({one_line(error, 80)})", "save it as CSV in UTF-8") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is no readable table ({one_line(error, 160)})", "save it as CSV in UTF-8") from error


def _check(path: Path, rows: list[Row], bare: bool) -> None:
    """Refuses rows without a file or, unless ``bare``, a label; files out of place, or named twice."""
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if not (row.file and (row.labels or bare)):
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
