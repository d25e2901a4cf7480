"""Where ``transfer tune`` looks for values: all combinations of a grid, or what Optuna's TPE asks for."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from crossmae.errors import UserError

if TYPE_CHECKING:
    from optuna.trial import Trial

Point = tuple[str, ...]
"""``key=value`` changes of a recipe, one for each key."""

SEED = 0
AT_RANDOM = 5
"""Trials that are drawn before the estimator has something to go by (ours; Optuna's default is ten)."""


class Range(NamedTuple):
    """Values from ``low`` to ``high``, evenly spread or, if ``log``, their logarithms."""

    key: str
    low: float
    high: float
    log: bool


def read_grid(grid: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Changes of a recipe by key, from texts ``KEY=VALUE,VALUE``.

    Raises:
        UserError: a text of another form.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for text in grid:
        key, equals, values = text.partition("=")
        try:
            listed = yaml.safe_load(f"[{values}]")
        except yaml.YAMLError:
            listed = None
        if not (key and equals and listed):
            raise UserError(f"--grid {text}: give KEY=VALUE,VALUE, such as base_lr=1.0e-3,2.0e-3")
        axes[key] = tuple(f"{key}={json.dumps(value)}" for value in dict.fromkeys(map(_hashable, listed)))
    return axes


def read_range(text: str) -> Range:
    """The range ``KEY=LOW:HIGH`` or ``KEY=LOW:HIGH:log``.

    Raises:
        UserError: a text of another form, or a range that is empty or has no logarithm.
    """
    key, _, values = text.partition("=")
    bounds, log = (values.removesuffix(":log"), True) if values.endswith(":log") else (values, False)
    try:
        low, high = map(float, bounds.split(":"))
    except ValueError:
        low = high = math.nan
    if not (key and math.isfinite(high - low) and low < high and (low > 0 or not log)):
        raise UserError(f"--range {text}: give KEY=LOW:HIGH or KEY=LOW:HIGH:log, such as base_lr=1e-4:1e-2:log")
    return Range(key, low, high, log)


def grid_points(grid: Sequence[str], budget: int | None) -> list[Point]:
    """All combinations of ``KEY=VALUE,VALUE`` texts, or ``budget`` of them, drawn by their digests.

    Raises:
        UserError: a text of another form, or a budget of none.
    """
    points: list[Point] = list(itertools.product(*read_grid(grid).values()))
    if budget is None or budget >= len(points):
        return points
    require_budget(budget)
    drawn = sorted(points, key=lambda point: hashlib.sha256("\n".join(point).encode()).digest())[:budget]
    return [point for point in points if point in drawn]


def require_budget(budget: int) -> None:
    """Raises UserError for a budget of none."""
    if budget < 1:
        raise UserError(f"--budget {budget} leaves no trial", "give a positive number")


class Search:
    """Optuna's tree-structured Parzen estimator. Told the same results again, it asks for the same points again.

    Args:
        axes: changes to choose from, by key.
        ranges: of the other keys.

    Raises:
        UserError: Optuna is not installed.
    """

    def __init__(self, axes: Mapping[str, Sequence[str]], ranges: Sequence[Range]) -> None:
        if find_spec("optuna") is None:
            raise UserError("--search tpe needs Optuna, which is not installed", "pip install 'crossmae[tune]'")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.axes, self.ranges = axes, ranges
        self.rule = f"TPE of Optuna {optuna.__version__}, seed {SEED}, {AT_RANDOM} trials at random first"
        sampler = optuna.samplers.TPESampler(seed=SEED, n_startup_trials=AT_RANDOM)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._failed = optuna.trial.TrialState.FAIL
        self._asked: Trial | None = None

    def ask(self) -> Point:
        """The next point; numbers of ranges have four digits."""
        trial = self._asked = self._study.ask()
        chosen = [str(trial.suggest_categorical(key, list(changes))) for key, changes in self.axes.items()]
        for key, low, high, log in self.ranges:
            chosen.append(f"{key}={trial.suggest_float(key, low, high, log=log):.3e}")
        return tuple(chosen)

    def tell(self, score: float | None) -> None:
        """The result of the point that was asked for, None if it has none."""
        assert self._asked is not None
        self._study.tell(self._asked, score, state=self._failed if score is None else None)


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list) else value
