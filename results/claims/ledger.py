"""The ledger: each claim with its verdicts, at every scale that was run, in words."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from crossmae.errors import UserError
from results.claims.spec import Claim, ClaimCell, Relation, load_claims, load_noise
from results.claims.verdict import (
    NOISE_FACTOR,
    Judgement,
    NoiseJudgement,
    Verdict,
    judge,
    judge_published,
    published_difference,
)
from results.compare import CONFIDENCE, Interval
from results.runs import Runs
from results.tables.fill import RunIndex
from results.tables.scales import Scale, load_scales

HEADER = ("Table", "Claim", "Verdict", "Our runs", "The paper's own numbers")
_COUNTED = {
    Verdict.HOLDS: "hold",
    Verdict.DOES_NOT_HOLD: "do not hold",
    Verdict.CANNOT_TELL: "cannot be told",
    Verdict.NOT_RUN: "were not run",
}
_BLANK = "\N{EN DASH}"


@dataclass(frozen=True)
class LedgerLine:
    """A claim at one scale; ``scale`` is None if it was run at none."""

    claim: Claim
    scale: Scale | None
    ours: Judgement

    def cells(self) -> tuple[str, ...]:
        """Plain text under ``HEADER``, not yet safe to show: notes may hold text from other people's runs."""
        where = f" ({self.scale.name})" if self.scale else ""
        claim = f"{self.claim.sentence} Test: {formula_of(self.claim)}."
        return self.claim.table, claim, f"{self.ours.verdict}{where}", _ours(self.claim, self.ours), _paper(self.claim)


@dataclass(frozen=True)
class Ledger:
    """Every claim, in the order of the paper's tables, a line for each scale that it was run at."""

    lines: tuple[LedgerLine, ...]

    @property
    def was_run(self) -> bool:
        """Whether any claim has records of both its cells."""
        return any(line.scale for line in self.lines)

    def summary(self) -> str:
        """How many verdicts of each kind, and how many of the paper's own differences are clear of their noise."""
        counts = Counter(line.ours.verdict for line in self.lines)
        scales = list(dict.fromkeys(line.scale.name for line in self.lines if line.scale))
        text = f"Of the paper's {len(load_claims())} claims, judged at scale {' and '.join(scales)}, " if scales else ""
        text += ", ".join(f"{counts[verdict]} {words}" for verdict, words in _COUNTED.items())
        known = [verdicts for claim in load_claims() if (verdicts := [one.verdict for one in judge_published(claim)])]
        clear = sum(set(verdicts) == {Verdict.HOLDS} for verdicts in known)
        start = "On the paper's own numbers, the noise is known for"
        return f"{text[0].upper()}{text[1:]}. {start} {len(known)} claims; {clear} of them are clear of it."

    def notes(self) -> Iterator[str]:
        """How to read it: plain text."""
        yield (
            f"A claim holds if the whole {CONFIDENCE:.0%} t interval of the paired difference over seeds agrees with "
            "it, and does not hold if none of the interval does. With one seed nobody can tell. Up to one verdict in "
            "twenty may be wrong."
        )
        yield "Margins are ours: the paper states none."
        yield (
            f"The paper's own numbers: its difference, and {NOISE_FACTOR:.0f} standard deviations of a difference of "
            "two single runs as its noise, where that of one run is known."
        )
        for noise in load_noise().values():
            yield f"{noise.title}: {noise.source}"
        for scale in {line.scale.name: line.scale for line in self.lines if line.scale}.values():
            yield f"Scale {scale.name}: {scale.title}. {scale.remark}".rstrip()
        if deviations := {text for line in self.lines for text in line.ours.deviations}:
            yield f"Deviations from the published protocols in these runs: {len(deviations)}; the tables name each."


def ledger(runs: Runs, scale: str | None = None) -> Ledger:
    """Every claim judged on ``runs``, at the scale of that name or at every scale that has records of it.

    Raises:
        UserError: there is no such scale.
    """
    scales = load_scales()
    if scale is not None and scale not in scales:
        raise UserError(f"no scale {scale!r}", f"known: {', '.join(scales)}")
    index = RunIndex.of(runs)
    wanted = [scales[scale]] if scale else list(scales.values())
    return Ledger(tuple(line for claim in load_claims() for line in _lines(claim, wanted, index)))


def formula_of(claim: Claim) -> str:
    """What is tested, as a formula."""
    a, b = (_name(claim, cell) for cell in (claim.a, claim.b))
    margin = f"{claim.margin:g}" if claim.margin else ""
    return {
        Relation.GREATER: f"{a} > {b}",
        Relation.CHEAPER: f"{a} < {b}",
        Relation.AT_MOST_LESS: f"{a} > {b} - {margin}",
        Relation.EQUAL_WITHIN: f"{a} within {margin} of {b}",
        Relation.VARIES_LESS: f"standard deviation of {a} < {margin}",
    }[claim.relation]


def _name(claim: Claim, cell: ClaimCell | None) -> str:
    """The method, and the metric where the two cells differ in it."""
    if cell is None:
        return ""
    metrics = {claim.metric_of(side) for side in (claim.a, claim.b) if side}
    return cell.method if len(metrics) == 1 else f"{claim.metric_of(cell)} of {cell.method}"


def _lines(claim: Claim, scales: list[Scale], index: RunIndex) -> Iterator[LedgerLine]:
    judged = [LedgerLine(claim, scale, judge(claim, scale, index)) for scale in scales]
    run = [line for line in judged if line.ours.verdict is not Verdict.NOT_RUN]
    if run:
        yield from run
    else:
        notes = dict.fromkeys(line.ours.note for line in judged if line.ours.note.startswith(("seed ", "its ")))
        yield LedgerLine(claim, None, Judgement(Verdict.NOT_RUN, note="; ".join(notes)))


def _ours(claim: Claim, ours: Judgement) -> str:
    interval = ours.interval
    if interval is None:
        return ours.note or _BLANK
    seeds = f"{interval.count} seed{'s' if interval.count > 1 else ''}"
    note = "" if ours.note in ("", "one seed") else f"; {ours.note}"
    return f"{_interval(claim, interval.mean, interval)}, {seeds}{note}"


def _interval(claim: Claim, mean: float, interval: Interval) -> str:
    sign = "" if claim.b is None else "+"
    text = f"{mean:{sign},.{claim.decimals}f}"
    if interval.low is None:
        return text
    return f"{text} ({interval.low:{sign},.{claim.decimals}f} to {interval.high:{sign},.{claim.decimals}f})"


def _paper(claim: Claim) -> str:
    judged = judge_published(claim)
    sign = "" if claim.b is None else "+"
    texts = [f"{published_difference(claim):{sign},.{claim.decimals}f}", *(_against(claim, one) for one in judged)]
    return "; ".join(texts if judged else [*texts, "noise not published"])


def _against(claim: Claim, judged: NoiseJudgement) -> str:
    """The published difference next to its noise, in words."""
    if claim.b is None:
        return f"{judged.low:.2f} to {judged.high:.2f} ({judged.noise.title}): {judged.verdict}"
    noise = f"noise, {(judged.high - judged.low) / 2:.2f} ({judged.noise.title})"
    if judged.verdict is Verdict.DOES_NOT_HOLD:
        return f"contradicts the claim by more than its {noise}"
    if claim.margin:
        return f"{'clear of' if judged.verdict is Verdict.HOLDS else 'does not clear'} the margin by its {noise}"
    return f"{'greater' if judged.verdict is Verdict.HOLDS else 'smaller'} than its {noise}"
