"""Records in which the truth about a claim is known."""

from pathlib import Path

from results.claims.spec import Claim, load_claims
from results.claims.verdict import Judgement, judge
from results.runs import Runs, StoredRecord
from results.tables.fill import RunIndex
from results.tables.scales import Scale, load_scales
from tests.support.runs import make_record

_BASE = 50.0


def claim_named(name: str) -> Claim:
    (claim,) = (claim for claim in load_claims() if claim.name == name)
    return claim


def home_of(claim: Claim) -> Scale:
    """The first scale that has both cells."""
    return next(scale for scale in load_scales().values() if claim.line(scale, claim.a))


def planted(claim: Claim, values: list[float]) -> Runs:
    """A seed per value: the difference a - b, or the deviation of the only cell from a common base."""
    records = []
    scale = home_of(claim)
    for seed, value in enumerate(values):
        metrics: dict[tuple[str, str], dict[str, float]] = {}
        for cell, number in ((claim.a, _BASE + 3 * seed + value), (claim.b, _BASE + 3 * seed)):
            line = claim.line(scale, cell) if cell else None
            if line is not None:
                assert line.task
                assert line.backbone
                assert line.metric
                number -= 0 if claim.b else 3 * seed
                metrics.setdefault((line.task, line.backbone), {})[line.metric] = number
        records += [make_record(task, backbone, seed, numbers) for (task, backbone), numbers in metrics.items()]
    return Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records))


def judged(claim: Claim, values: list[float]) -> Judgement:
    return judge(claim, home_of(claim), RunIndex.of(planted(claim, values)))
