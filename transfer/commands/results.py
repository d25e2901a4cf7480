"""``transfer tables``, ``claims``, ``board``, ``report``, ``compare`` and ``curves``: what was measured."""

import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from crossmae.errors import UserError
from crossmae.run.lock import hold_folder
from results.board import boards
from results.board import terminal as terminal_boards
from results.claims.ledger import ledger
from results.claims.write import terminal, write_ledger
from results.classes import write_classes
from results.compare import compare, sentence
from results.runs import Runs, find_runs
from results.tables.spec import table_names
from results.tables.write import tables_with_results, write_tables
from transfer.curves import Curves
from transfer.sinks import open_sink

_FOLLOW_EVERY = 5.0

RunsArgument = Annotated[Path, typer.Argument(help="A folder of runs, which are found at any depth.")]
TableOption = Annotated[
    list[str] | None,
    typer.Option("--table", help="A built-in table or a YAML file; repeat it. Default: those with results."),
]


def tables(
    runs: RunsArgument = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the files. Default: RUNS/tables.")] = None,
    table: TableOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All built-in tables, also those without results.")] = False,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the built-in tables.")] = False,
) -> None:
    """Prints tables filled from all runs below a folder, and writes them as Markdown, CSV, LaTeX and HTML.

    Example: transfer tables runs/paper --out paper_tables --table table1 --table table2
    """
    if names:
        print("\n".join(table_names()))
        return
    found = _found(runs)
    chosen = table_names() if everything else _chosen(found, runs, table)
    folder = out or runs / "tables"
    text, claims = write_tables(found, chosen, folder), write_ledger(found, folder, everything)
    write_classes(found, folder)
    print("\n\n".join(filter(None, [text, claims])))


def claims(
    runs: RunsArgument = Path("runs"),
    scale: Annotated[str | None, typer.Option(help="A scale of docs/claims.md. Default: those with results.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for claims.md and claims.csv.")] = None,
) -> None:
    """Says for each claim of the CrossMAE paper whether it holds in the runs below a folder.

    Example: transfer claims runs/ablations --scale ablations
    """
    found = _found(runs)
    print(terminal(ledger(found, scale)))
    if out:
        write_ledger(found, out, everything=True)


def board(
    runs: RunsArgument = Path("runs"),
    metric: Annotated[str | None, typer.Option(help="What to rank by. Default: each task's first metric.")] = None,
) -> None:
    """Ranks backbones under one task, recipe and data; where intervals over seeds overlap, ranks are shared.

    Example: transfer board runs/frozen --metric top1
    """
    made = boards(_found(runs), metric)
    if not made:
        what = f"below {runs} no two backbones have one task, recipe and data in common"
        raise UserError(what, "run a suite with several backbones, or name another --metric")
    print(terminal_boards(made))


def report(
    runs: RunsArgument = Path("runs"),
    out: Annotated[Path | None, typer.Option("--out", help="The file to write. Default: RUNS/report.html.")] = None,
    table: TableOption = None,
) -> None:
    """Writes all runs below a folder as one HTML page.

    Example: transfer report runs/demo
    """
    from results.report.write import write_report  # matplotlib takes its time

    found = _found(runs)
    print(write_report(found, out or runs / "report.html", _chosen(found, runs, table)))


def compare_backbones(
    a: str, b: str, runs: Annotated[Path, typer.Option("--runs", help="A folder of runs.")] = Path("runs")
) -> None:
    """Says for each metric whether backbone A is better than B, from paired differences over seeds and samples.

    Example: transfer compare crossmae mae --runs runs/demo
    """
    console = Console()
    for comparison in compare(_found(runs), a, b):
        console.print(sentence(comparison), markup=False, highlight=False, soft_wrap=True)


def curves(
    runs: RunsArgument = Path("runs"),
    to: Annotated[str, typer.Option("--to", help="tensorboard, wandb or mlflow.")] = "tensorboard",
    out: Annotated[Path | None, typer.Option("--out", help="The logger's folder. Default: RUNS/logged/NAME.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Send what comes, until Ctrl-C.")] = False,
) -> None:
    """Sends the learning curves of all runs below a folder to a logger, each point once; the runs know nothing of it.

    W&B and MLflow write files unless their own variables (WANDB_MODE, MLFLOW_TRACKING_URI) name a server.

    Example: transfer curves runs/demo --to tensorboard --follow
    """
    if not runs.is_dir():
        raise UserError(f"no folder {runs}", "give the folder of your runs, such as runs/demo")
    folder = out or runs / "logged" / to
    sink = open_sink(to, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with hold_folder(folder), closing(sink):
        sent = Curves(runs, folder)
        print(f"{sent.send(sink)} points sent: {folder}", flush=True)
        with suppress(KeyboardInterrupt):
            while follow:
                time.sleep(_FOLLOW_EVERY)
                sent.send(sink)


def _found(folder: Path) -> Runs:
    if not folder.is_dir():
        raise UserError(f"no folder {folder}", "give the folder of your runs, such as runs/demo")
    return find_runs(folder)


def _chosen(runs: Runs, folder: Path, tables: list[str] | None) -> list[str]:
    chosen = tables or tables_with_results(runs)
    if not chosen:
        raise UserError(f"no finished runs below {folder} that a built-in table shows", "name one with --table")
    return chosen
