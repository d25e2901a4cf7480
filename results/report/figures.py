"""Figures of the report: small panels drawn by matplotlib, embedded as SVG, which the page lays out to its width."""

import base64
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

from crossmae.errors import printable
from results.report.curves import Curve
from results.tables.fill import Cell
from results.tables.table import Table, TableEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which readers with any kind of colour vision can tell apart.
COLOURS = ("#7a7f85", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")
_KINDS = {"random": 0, "crossmae": 2, "mae": 1}
"""Places of colours. The name crossmae contains mae, so the order matters."""
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a939b",
    "axes.axisbelow": True,
    "grid.color": "#e4e8eb",
    "grid.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "svg.hashsalt": "report",
    "svg.fonttype": "none",  # Outlines of letters depend on which file of a font a machine has.
}


def colours_of(backbones: Iterable[str]) -> dict[str, str]:
    """Returns one colour for each backbone, for all figures; random, MAE and CrossMAE look the same in all reports."""
    colours: dict[str, str] = {}
    others = cycle(COLOURS[len(_KINDS) :])
    for name in sorted(set(backbones)):
        kind = next((place for word, place in _KINDS.items() if word in name.lower()), None)
        own = None if kind is None else COLOURS[kind]
        colours[name] = own if own and own not in colours.values() else next(others)
    return colours


def dot_panels(table: Table, colours: Mapping[str, str]) -> Iterator[str]:
    """A panel per column: each seed as a small dot, mean and standard error, the published number as a diamond.

    Returns:
        Data URIs.
    """
    for place, column in enumerate(table.columns):
        rows = [(row.name, row.entries[place]) for row in table.rows if row.entries[place].ours.values]
        if rows and not column.pretraining:
            yield _panel(column.name, 0.75 + 0.27 * len(rows), _dot_drawer(rows, colours))


def time_panels(table: Table, colours: Mapping[str, str]) -> Iterator[str]:
    """A panel per column that ranks backbones: its means over the device-minutes of pretraining, with standard errors.

    Returns:
        Data URIs; none for a table of several sizes of model, or without a record of pretraining.
    """
    times = [place for place, column in enumerate(table.columns) if column.pretraining == "minutes"]
    ranks = [place for place, column in enumerate(table.columns) if column.task and column.best == "max"]
    for place in ranks if len(times) == 1 else ():
        rows = [(row.name, row.entries[times[0]].ours, row.entries[place].ours) for row in table.rows]
        rows = [(name, time, cell) for name, time, cell in rows if time.mean is not None and cell.mean is not None]
        if rows:
            yield _panel(table.columns[place].name, 2.2, _time_drawer(rows, colours))


def _time_drawer(rows: list[tuple[str, Cell, Cell]], colours: Mapping[str, str]) -> "Callable[[Axes], None]":
    def draw(ax: "Axes") -> None:
        for name, time, cell in rows:
            assert time.mean is not None
            assert cell.mean is not None
            colour = colours[cell.runs[0].backbone]
            ax.errorbar(
                time.mean, cell.mean, cell.standard_error, time.standard_error, fmt="o", color=colour, capsize=3
            )
            ax.annotate(
                printable(name),
                (time.mean, cell.mean),
                (5, 5),
                textcoords="offset points",
                fontsize=8,
                parse_math=False,
            )
        ax.set_xlabel("device-minutes of pretraining")
        ax.set_xlim(left=0)
        ax.margins(x=0.25, y=0.2)
        ax.grid(visible=True)

    return draw


def curve_panel(title: str, curves: Sequence[Curve], colours: Mapping[str, str]) -> str:
    """One metric over training steps, a line per run, a colour per backbone; a data URI."""

    def draw(ax: "Axes") -> None:
        for curve in curves:
            marker = "." if len(curve.steps) < 25 else None
            ax.plot(curve.steps, curve.values, color=colours[curve.backbone], linewidth=1.1, alpha=0.85, marker=marker)
        ax.set_xlabel("step")
        ax.grid(visible=True)
        if _spans_decades([value for curve in curves for value in curve.values]):
            ax.set_yscale("log")

    return _panel(title, 2.2, draw)


def _dot_drawer(rows: list[tuple[str, TableEntry]], colours: Mapping[str, str]) -> "Callable[[Axes], None]":
    def draw(ax: "Axes") -> None:
        for height, (_, entry) in enumerate(reversed(rows)):
            _dots(ax, height, entry.ours, colours[entry.ours.runs[0].backbone])
            if entry.published:
                ax.plot(entry.published.value, height, "D", color="#1c2024", markerfacecolor="none", markersize=5.5)
        # Dollar signs in names are no mathematics.
        ax.set_yticks(range(len(rows)), [printable(name) for name, _ in reversed(rows)], parse_math=False)
        ax.set_ylim(-0.6, len(rows) - 0.4)
        ax.margins(x=0.1)
        ax.locator_params(axis="x", nbins=4)
        ax.grid(visible=True, axis="x")
        ax.tick_params(axis="y", length=0)

    return draw


def _dots(ax: "Axes", height: int, cell: Cell, colour: str) -> None:
    seeds = [value for _, value in cell.values]
    if len(seeds) > 1 or cell.mean is None:
        ax.plot(seeds, [height] * len(seeds), "o", color=colour, markersize=3.5, alpha=0.45, markeredgewidth=0)
    if cell.mean is not None:
        ax.errorbar(cell.mean, height, xerr=cell.standard_error, fmt="o", color=colour, markersize=6, capsize=3)


def _spans_decades(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > 100


def _panel(title: str, height: float, draw: "Callable[[Axes], None]") -> str:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(3.5, height), layout="constrained")
        ax = figure.add_subplot()
        draw(ax)
        ax.set_title("\n".join(textwrap.wrap(printable(title), 46)), parse_math=False)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
