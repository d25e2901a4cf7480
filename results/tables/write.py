"""Tables written for people: in the terminal, and as Markdown, CSV, LaTeX and HTML files."""

from collections.abc import Sequence
from pathlib import Path

from crossmae.errors import printable
from crossmae.files import write_text
from results.runs import Runs
from results.tables import formats as forms
from results.tables.fill import RunIndex
from results.tables.spec import load_table, table_names
from results.tables.table import Table, fill_table

_FILES = {".md": forms.markdown, ".csv": forms.comma_separated, ".tex": forms.latex, ".html": forms.html}


def write_tables(runs: Runs, names: Sequence[str], destination: Path) -> str:
    """Fills the tables ``names`` from ``runs`` and writes ``destination/<name>.{md,csv,tex,html}``.

    A name is a built-in table (``results.tables.spec.table_names``) or the path of a YAML file.

    Returns:
        The same tables as text for the terminal, followed by a line for each file that could not be trusted.

    Raises:
        UserError: an unknown or wrong table; nothing is written then.
    """
    tables = fill_tables(names, runs)
    for table in tables:
        for suffix, write in _FILES.items():
            write_text(write(table), destination / f"{table.name}{suffix}")
    return "\n\n".join([*(forms.terminal(table) for table in tables), *_warnings(runs)])


def tables_with_results(runs: Runs) -> list[str]:
    """The built-in tables that ``runs`` have something to say in."""
    tables = fill_tables(table_names(), runs)
    return [table.name for table in tables if table.has_results]


def fill_tables(names: Sequence[str], runs: Runs) -> list[Table]:
    """The tables ``names``, filled from ``runs``.

    Raises:
        UserError: an unknown or wrong table.
    """
    index = RunIndex.of(runs)
    return [fill_table(load_table(name), index) for name in names]


def _warnings(runs: Runs) -> list[str]:
    return ["\n".join(f"warning: {printable(problem)}" for problem in runs.problems)] if runs.problems else []
