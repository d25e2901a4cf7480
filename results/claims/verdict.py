"""Does a claim hold? Asked of records at a scale, and of the paper's own numbers against their known noise."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from results.claims.spec import Claim, Noise, Relation, load_noise
from results.compare import CONFIDENCE, Interval, paired_seeds, same_recipe, t_interval
from results.runs import measured_on
from results.tables.fill import Cell, RunIndex, fill
from results.tables.scales import Scale

NOISE_FACTOR = 2.0
"""A published difference must clear its margin by so many standard deviations of itself."""


class Verdict(StrEnum):
    """What may be said of a claim."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    CANNOT_TELL = "cannot tell"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Judgement:
    """A verdict from records. ``interval`` is that of a - b, or of a standard deviation over seeds."""

    verdict: Verdict
    interval: Interval | None = None
    note: str = ""
    """In one line: what keeps it from being told, or what is odd about the records."""
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class NoiseJudgement:
    """A verdict on a published difference, which may be off by ``half_width`` either way."""

    noise: Noise
    verdict: Verdict
    low: float
    high: float


def judge(claim: Claim, scale: Scale, index: RunIndex) -> Judgement:
    """What the records say of ``claim`` at ``scale``, by the t interval over seeds that ``compare`` uses.

    It holds if the whole 95 % interval agrees with it, does not hold if none of it does; between the two, with one
    seed, or if the runs may not be compared, nobody can tell.
    """
    lines = [claim.line(scale, cell) for cell in (claim.a, claim.b) if cell]
    if None in lines or lines[1:] == lines[:1]:
        return Judgement(Verdict.NOT_RUN, note="this scale has no such backbone")
    cells = [fill(line, index) for line in lines if line]
    if not all(cell.runs for cell in cells):
        notes = dict.fromkeys(cell.note for cell in cells if cell.note)
        return Judgement(Verdict.NOT_RUN, note="; ".join(notes))
    return _judge_spread(claim, cells[0]) if len(cells) == 1 else _judge_pair(claim, *cells)


def judge_published(claim: Claim) -> tuple[NoiseJudgement, ...]:
    """The paper's own difference against each noise that is known for it; empty where none is."""
    return tuple(_against(claim, load_noise()[name]) for name in claim.noise)


def published_difference(claim: Claim) -> float:
    """What the paper gives for a - b, or for the standard deviation over seeds."""
    if claim.b is None:
        return statistics.stdev(load_noise()[claim.noise[0]].values())
    return round(claim.number(claim.a).value - claim.number(claim.b).value, 6)  # Subtracting floats leaves a remainder.


def deviation_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """The chi-square interval of the standard deviation of normal values."""
    deviation, count = statistics.stdev(values), len(values)
    from scipy.stats import chi2

    upper, lower = (float(chi2.ppf((1 + sign * confidence) / 2, count - 1)) for sign in (1, -1))
    scale = deviation * math.sqrt(count - 1)
    return Interval(deviation, scale / math.sqrt(upper), scale / math.sqrt(lower), count)


def _judge_spread(claim: Claim, cell: Cell) -> Judgement:
    values = [value for _, value in cell.values]
    if len(values) < 2:
        return Judgement(Verdict.CANNOT_TELL, note="one seed", deviations=cell.deviations)
    interval = deviation_interval(values)
    return _judgement(claim, interval, [cell])


def _judge_pair(claim: Claim, a: Cell, b: Cell) -> Judgement:
    seeds = paired_seeds(a, b)
    deviations = tuple(dict.fromkeys((*a.deviations, *b.deviations)))
    if not seeds:
        return Judgement(Verdict.CANNOT_TELL, note="no seed in common", deviations=deviations)
    interval = t_interval([difference for _, difference in seeds])
    if problem := _incomparable(claim, a, b):
        return Judgement(Verdict.CANNOT_TELL, interval, problem, deviations)
    return _judgement(claim, interval, [a, b])


def _incomparable(claim: Claim, a: Cell, b: Cell) -> str | None:
    machines = sorted({measured_on(run) for run in (*a.runs, *b.runs)})
    if claim.machine:
        return None if len(machines) == 1 else f"measured on different machines: {', '.join(machines)}"
    return None if claim.own_recipes or same_recipe(a, b) else "ran under different recipes"


def _judgement(claim: Claim, interval: Interval, cells: Sequence[Cell]) -> Judgement:
    notes = list(dict.fromkeys(cell.note for cell in cells if cell.note))
    deviations = tuple(dict.fromkeys(text for cell in cells for text in cell.deviations))
    verdict = Verdict.CANNOT_TELL
    if interval.low is None or interval.high is None:
        notes.insert(0, "one seed")
    elif math.isclose(interval.low, interval.high, rel_tol=1e-9, abs_tol=1e-9) and not claim.machine:
        notes.insert(0, "all seeds agree to the last digit, which is no interval")
    else:
        verdict = _verdict(claim, interval.low, interval.high)
    return Judgement(verdict, interval, "; ".join(notes), deviations)


def _verdict(claim: Claim, low: float, high: float) -> Verdict:
    lowest, highest = _region(claim)
    if low > lowest and high < highest:
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if high < lowest or low > highest else Verdict.CANNOT_TELL


def _region(claim: Claim) -> tuple[float, float]:
    """Between which bounds the claim says that its difference lies."""
    margin = claim.margin or 0.0
    return {
        Relation.GREATER: (0.0, math.inf),
        Relation.CHEAPER: (-math.inf, 0.0),
        Relation.AT_MOST_LESS: (-margin, math.inf),
        Relation.EQUAL_WITHIN: (-margin, margin),
        Relation.VARIES_LESS: (-math.inf, margin),
    }[claim.relation]


def _against(claim: Claim, noise: Noise) -> NoiseJudgement:
    difference = published_difference(claim)
    if claim.b is None:
        interval = deviation_interval(noise.values())
        low, high = interval.low or 0.0, interval.high or math.inf
    else:
        half = NOISE_FACTOR * math.sqrt(2) * _deviation(noise, claim.number(claim.a).value)
        low, high = difference - half, difference + half
    return NoiseJudgement(noise, _verdict(claim, low, high), low, high)


def _deviation(noise: Noise, value: float) -> float:
    """Standard deviation of one number; ``value`` in percent is needed for the binomial one."""
    if noise.samples:
        return math.sqrt(value * (100 - value) / noise.samples)
    return noise.deviation or statistics.stdev(noise.values())
