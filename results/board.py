"""Ranks backbones where their numbers may be compared: one task and version, one recipe, the same data.

A backbone's rank is one more than the number of those whose whole interval over seeds lies on the better side of its
own: where intervals overlap, ranks are shared. With one seed there is no interval, so nobody is above anybody.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tabulate import tabulate

from results.compare import CONFIDENCE, Interval, t_interval
from results.record import Record
from results.runs import Runs, StoredRecord
from results.tables.fill import of_one_protocol
from results.tables.formats import templates
from results.tables.markup import Html, Markup
from results.tables.spec import lower_is_better

_HEADER = ("rank", "backbone", "mean", f"{CONFIDENCE:.0%} interval", "seeds")
_PRETRAINING = "pretrain"


@dataclass(frozen=True)
class Standing:
    """One backbone's place; ``shared``: the order of it and of another one cannot be told."""

    backbone: str
    over_seeds: Interval
    rank: int
    shared: bool

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of the heading."""
        interval = self.over_seeds
        known = interval.low is not None and interval.high is not None
        shown = f"{interval.low:.2f} to {interval.high:.2f}" if known else "one seed"
        return f"{self.rank}{'=' * self.shared}", self.backbone, f"{interval.mean:.2f}", shown, str(interval.count)


@dataclass(frozen=True)
class Board:
    """Backbones under one protocol, the best mean first."""

    task: str
    version: int
    metric: str
    recipe: str
    data: str | None
    standings: tuple[Standing, ...]

    @property
    def title(self) -> str:
        """Everything that the numbers have in common."""
        data = f", data {self.data}" if self.data else ""
        better = "less" if lower_is_better(self.metric) else "more"
        return f"{self.task} (version {self.version}), {self.metric}, {better} is better; recipe {self.recipe}{data}"


def boards(runs: Runs, metric: str | None = None) -> list[Board]:
    """A board for each group of runs that may be compared and has at least two backbones.

    Args:
        metric: the one to rank by, in tasks that have it; None: the first that each task returns.
    """
    groups: dict[tuple[str, int, str, str, str | None], list[StoredRecord]] = defaultdict(list)
    for stored in runs.records:
        record = stored.record
        name = metric or next(iter(record.metrics), None)
        if name in record.metrics and record.task.name != _PRETRAINING:
            recipe = f"{record.recipe.name} ({record.recipe.hash[:8]})"
            groups[record.task.name, record.task.version, name, recipe, record.data].append(stored)
    made = (Board(*key, _standings(group, key[2])) for key, group in sorted(groups.items(), key=str))
    return [board for board in made if len(board.standings) > 1]


def terminal(made: list[Board]) -> str:
    """Plain text for the terminal."""
    text = Markup().text
    return "\n\n".join(
        f"{text(board.title)}\n\n"
        + tabulate(
            [[text(cell) for cell in standing.cells()] for standing in board.standings],
            _HEADER,
            tablefmt="simple",
            disable_numparse=True,
        )
        for board in made
    )


def html_parts(made: list[Board]) -> list[str]:
    """A part of an HTML page for each."""
    escape, template = Html().text, templates().get_template("lines.html.j2")
    return [
        template.render(
            summary=escape(board.title),
            header=_HEADER,
            rows=[[escape(cell) for cell in standing.cells()] for standing in board.standings],
            notes=[],
        )
        for board in made
    ]


def _standings(group: list[StoredRecord], metric: str) -> tuple[Standing, ...]:
    over_seeds = dict(_intervals(group, metric))
    sign = -1 if lower_is_better(metric) else 1
    names = sorted(over_seeds, key=lambda name: (-sign * over_seeds[name].mean, name))
    above = {name: {other for other in names if _is_above(over_seeds[other], over_seeds[name], sign)} for name in names}
    return tuple(
        Standing(name, over_seeds[name], 1 + len(above[name]), any(_untold(above, name, other) for other in names))
        for name in names
    )


def _untold(above: dict[str, set[str]], name: str, other: str) -> bool:
    return name != other and name not in above[other] and other not in above[name]


def _intervals(group: list[StoredRecord], metric: str) -> Iterator[tuple[str, Interval]]:
    by_backbone: dict[str, list[StoredRecord]] = defaultdict(list)
    for stored in group:
        by_backbone[stored.backbone].append(stored)
    for name, stored_runs in by_backbone.items():
        newest, _ = of_one_protocol(stored_runs)  # other weights of this name are another backbone
        yield name, t_interval([_value(stored.record, metric) for stored in newest])


def _value(record: Record, metric: str) -> float:
    return float(record.metrics[metric])


def _is_above(one: Interval, other: Interval, sign: int) -> bool:
    """Whether all of ``one`` is better than all of ``other``."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low > other.high if sign > 0 else one.high < other.low
