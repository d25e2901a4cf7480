"""The subcommands of ``transfer`` that show what was measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmae.errors import UserError
from results.compare import CompareError, compare, sentence
from results.published import PublishedError
from results.runs import find_runs
from results.table_spec import TableError, table_names
from results.tables import write_tables
from transfer.options import OutOption

TableOption = Annotated[
    list[str] | None, typer.Option("--table", help="A built-in table or a YAML file; repeat it. Default: demo.")
]


def register(app: typer.Typer) -> None:
    """Adds the subcommands to ``app``."""
    app.command()(tables)
    app.command()(report)
    app.command("compare")(compare_backbones)


def tables(
    out: OutOption = Path("runs"),
    table: TableOption = None,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the built-in tables.")] = False,
) -> None:
    """Fills tables from all runs below a folder and writes them to OUT/tables.

    Example: transfer tables --out runs/paper --table table1 --table table2
    """
    if names:
        print("\n".join(table_names()))
        return
    with _one_line():
        print(write_tables(out, table or ["demo"], out / "tables"))


def report(out: OutOption = Path("runs"), table: TableOption = None) -> None:
    """Writes all runs below a folder as one HTML page, OUT/report.html.

    Example: transfer report --out runs/demo
    """
    from results.report.write import write_report  # matplotlib takes its time

    with _one_line():
        print(write_report(out, out / "report.html", table or ["demo"]))


def compare_backbones(a: str, b: str, out: OutOption = Path("runs")) -> None:
    """Says for each metric whether backbone A is better than B, from paired differences over seeds and samples.

    Example: transfer compare crossmae mae --out runs/demo
    """
    console = Console()
    with _one_line():
        for one in compare(find_runs(out), a, b):
            console.print(sentence(one), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (TableError, PublishedError, CompareError) as error:
        raise UserError(str(error)) from error
