"""Is backbone A better than B? Paired differences over seeds, and over samples where runs kept them."""

import csv
import io
import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from crossmae.errors import UserError, one_line, printable
from crossmae.files import read_regular
from results.record import RecordError
from results.runs import Runs, StoredRecord
from results.tables.fill import Cell, RunIndex, fill
from results.tables.spec import TableLine, lower_is_better

CONFIDENCE = 0.95
_PER_SAMPLE = frozenset({"top1", "top5"})
"""Metrics that are means over validation samples."""
_MOST_BYTES = 2**28
"""Of a file with a line for each validation sample, of which ImageNet has 50,000."""
_RANKS_NOTHING = ("to_visible_", "to_masked_")
"""Where a decoder looks is neither better nor worse."""


class ComparisonVerdict(StrEnum):
    """What may be said about A against B."""

    BETTER = "better"
    WORSE = "worse"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Interval:
    """A mean difference with its t interval; ``low`` and ``high`` are None below two differences."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """A minus B for one metric of one task; ``seeds`` holds each seed's difference, in the metric's unit."""

    task: str
    metric: str
    a: str
    b: str
    seeds: tuple[tuple[int, float], ...]
    over_seeds: Interval
    over_samples: Interval | None
    """Mean difference per validation sample in points of 100, averaged over seeds first; says nothing of seeds."""
    same_recipe: bool
    problems: tuple[str, ...] = ()
    """A line for each file of samples that could not be used."""

    @property
    def verdict(self) -> ComparisonVerdict:
        """Better or worse only if the interval over seeds excludes zero and both ran under one recipe."""
        if not (self.same_recipe and self.over_seeds.excludes_zero):
            return ComparisonVerdict.CANNOT_TELL
        higher = self.over_seeds.mean > 0
        return ComparisonVerdict.BETTER if higher != lower_is_better(self.metric) else ComparisonVerdict.WORSE

    def disagreeing_seeds(self) -> tuple[int, ...]:
        """Seeds whose difference has the other sign than the mean."""
        return tuple(seed for seed, value in self.seeds if value * self.over_seeds.mean < 0)


def compare(runs: Runs, a: str, b: str) -> list[Comparison]:
    """Every metric that ranks backbones, of every task that both have under common seeds, by task and metric.

    Raises:
        UserError: a backbone without records, or no seed of a task in common.
    """
    known = {stored.backbone for stored in runs.records}
    for name in (a, b):
        if name not in known:
            raise UserError(f"no records of backbone {name!r}", f"there are {', '.join(sorted(known)) or 'none'}")
    if not (comparisons := in_common(runs, a, b)):
        raise UserError(f"{a} and {b} have no task and seed in common")
    return comparisons


def in_common(runs: Runs, a: str, b: str) -> list[Comparison]:
    """As ``compare``; an empty list if there is nothing to compare."""
    index = RunIndex.of(runs)
    comparisons = (_compare(index, task, metric, a, b) for task, metric in sorted(_metrics(runs)))
    return [comparison for comparison in comparisons if comparison]


def t_interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval of the mean of independent differences."""
    mean = statistics.fmean(differences)
    count = len(differences)
    if count < 2:
        return Interval(mean, None, None, count)
    from scipy.stats import t

    half = float(t.ppf((1 + confidence) / 2, count - 1)) * statistics.stdev(differences) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def paired_seeds(a: Cell, b: Cell) -> tuple[tuple[int, float], ...]:
    """Each common seed's difference, ``a`` minus ``b``."""
    values_a, values_b = dict(a.values), dict(b.values)
    return tuple((seed, values_a[seed] - values_b[seed]) for seed in values_a if seed in values_b)


def same_recipe(a: Cell, b: Cell) -> bool:
    """Whether all runs of both cells had one recipe of the task."""
    return len({run.record.recipe.hash for run in (*a.runs, *b.runs)}) == 1


def sentence(comparison: Comparison) -> str:
    """The comparison in plain words, on one line."""
    problems = [f"Not used: {problem}." for problem in comparison.problems]
    return printable(" ".join(filter(None, [_about_seeds(comparison), _about_samples(comparison), *problems])))


def _about_seeds(comparison: Comparison) -> str:
    a, b, over_seeds, verdict = comparison.a, comparison.b, comparison.over_seeds, comparison.verdict
    start = f"{comparison.task} {comparison.metric}: {a} minus {b} is {over_seeds.mean:+.2f}"
    if not comparison.same_recipe:
        return f"{start}, but they ran under different recipes: cannot tell."
    if over_seeds.low is None:
        return f"{start} with one seed: cannot tell."
    words = verdict if verdict is ComparisonVerdict.CANNOT_TELL else f"{a} is {verdict}"
    return f"{start} over {over_seeds.count} seeds ({_shown(over_seeds)}): {words}."


def _about_samples(comparison: Comparison) -> str | None:
    over_samples = comparison.over_samples
    if over_samples is None or over_samples.low is None:
        return None
    count = f"{over_samples.count:,} validation samples"
    return f"Over {count}, for the models of these seeds alone: {over_samples.mean:+.2f} ({_shown(over_samples)})."


def _shown(interval: Interval) -> str:
    return f"{CONFIDENCE:.0%} interval {interval.low:+.2f} to {interval.high:+.2f}"


def _metrics(runs: Runs) -> set[tuple[str, str]]:
    measured = ((stored.record.task.name, metric) for stored in runs.records for metric in stored.record.metrics)
    return {(task, metric) for task, metric in measured if not metric.startswith(_RANKS_NOTHING)}


def _compare(index: RunIndex, task: str, metric: str, a: str, b: str) -> Comparison | None:
    cells = [fill(TableLine(task=task, metric=metric, backbone=name), index) for name in (a, b)]
    if not (seeds := paired_seeds(*cells)):
        return None
    problems: list[str] = []
    paired = metric in _PER_SAMPLE
    over_samples = _over_samples(cells[0].runs, cells[1].runs, metric, problems) if paired else None
    over_seeds = t_interval([difference for _, difference in seeds])
    return Comparison(task, metric, a, b, seeds, over_seeds, over_samples, same_recipe(*cells), tuple(problems))


def _over_samples(
    runs_a: Sequence[StoredRecord], runs_b: Sequence[StoredRecord], metric: str, problems: list[str]
) -> Interval | None:
    by_seed = {run.record.seed: run for run in runs_b}
    differences: dict[str, list[float]] = defaultdict(list)
    for run in runs_a:
        if run.record.seed in by_seed:
            of_a, of_b = (_per_sample(pair, metric, problems) for pair in (run, by_seed[run.record.seed]))
            for sample in of_a.keys() & of_b.keys():
                differences[sample].append(100 * (of_a[sample] - of_b[sample]))
    return t_interval([statistics.fmean(seeds) for seeds in differences.values()]) if differences else None


def _per_sample(stored: StoredRecord, metric: str, problems: list[str]) -> dict[str, float]:
    """Each validation sample's metric; empty, with a line in ``problems``, if the file cannot be used."""
    try:
        path = stored.artifact("per_sample")
        return _read_samples(path, metric) if path else {}
    except RecordError as error:
        problems.append(str(error))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        problems.append(f"{stored.folder}: {stored.record.artifacts['per_sample']} ({one_line(error)})")
    return {}


def _read_samples(path: Path, metric: str) -> dict[str, float]:
    rows = csv.DictReader(io.StringIO(read_regular(path, _MOST_BYTES).decode(), newline=""))
    values = {row["sample"]: float(row[metric]) for row in rows if row.get(metric)}
    for sample, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{metric} of {sample} is {value}, not between 0 and 1")
    return values
