"""Verdicts on planted records: reversed claims fall, noise is not told, and errors keep their stated rate."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from results.claims.spec import Claim, Relation, load_claims
from results.claims.verdict import Verdict, deviation_interval, judge
from results.runs import Runs, StoredRecord
from results.tables.fill import RunIndex
from tests.results.claims.planted import claim_named, home_of, judged, planted
from tests.support.runs import make_record

JITTER = (0.02, -0.01, 0.01, -0.02)
DRAWS = 200
TRUE, REVERSED = 1.0, -1.0
"""Points by which the planted difference agrees with a claim, or contradicts it."""


def by(claim: Claim, points: float) -> list[float]:
    """Differences of four seeds that agree with ``claim`` by ``points``, or contradict it by as many."""
    margin = claim.margin or 0.0
    if claim.relation is Relation.VARIES_LESS:
        return [scale * (0.01 if points > 0 else 10) for scale in (1.0, -1.0, 0.5, -0.5)]
    centre = {
        Relation.GREATER: points,
        Relation.CHEAPER: -points,
        Relation.AT_MOST_LESS: points - margin,
        Relation.EQUAL_WITHIN: 0.0 if points > 0 else margin - points,
    }[claim.relation]
    return [centre + jitter for jitter in JITTER]


@pytest.mark.parametrize("claim", load_claims(), ids=lambda claim: claim.name)
def test_a_planted_truth_holds_and_a_reversed_one_does_not(claim: Claim) -> None:
    assert judged(claim, by(claim, TRUE)).verdict is Verdict.HOLDS
    assert judged(claim, by(claim, REVERSED)).verdict is Verdict.DOES_NOT_HOLD


@pytest.mark.parametrize("claim", load_claims(), ids=lambda claim: claim.name)
def test_a_difference_inside_the_noise_and_a_single_seed_cannot_be_told(claim: Claim) -> None:
    assert judged(claim, by(claim, TRUE)[:1]).verdict is Verdict.CANNOT_TELL
    noisy = [0.3, -0.2, 0.05] if claim.b is None else [3.0, -2.0, 0.5]
    assert judged(claim, noisy).verdict is Verdict.CANNOT_TELL


@pytest.mark.parametrize("relation", list(Relation))
def test_the_stated_error_rate_is_kept_where_it_is_hardest(relation: Relation) -> None:
    """The truth lies on the border of the claim, where any verdict that is told has one tail of the interval."""
    claim = next(claim for claim in load_claims() if claim.relation is relation)
    margin = claim.margin or 0.0
    draw = random.Random(0)
    centre = {Relation.AT_MOST_LESS: -margin, Relation.EQUAL_WITHIN: margin}.get(relation, 0.0)
    spread = margin if relation is Relation.VARIES_LESS else 0.25 * margin or 0.8
    verdicts = [judged(claim, [draw.gauss(centre, spread) for _ in range(4)]).verdict for _ in range(DRAWS)]
    told = sum(verdict is not Verdict.CANNOT_TELL for verdict in verdicts)
    # Binomial, 200 at 5 %: fewer than 2 or more than 20 happen once in a thousand each.
    assert 2 <= told <= 20


@pytest.mark.parametrize(("truth", "wrong"), [(0.4, Verdict.DOES_NOT_HOLD), (-0.4, Verdict.HOLDS)])
def test_hardly_any_verdict_is_wrong_away_from_the_border(truth: float, wrong: Verdict) -> None:
    draw = random.Random(1)
    claim = claim_named("better_than_mae_vit_b")
    verdicts = [judged(claim, [draw.gauss(truth, 0.8) for _ in range(4)]).verdict for _ in range(DRAWS)]
    assert verdicts.count(wrong) <= 0.025 * DRAWS


def test_the_interval_of_a_difference_is_that_of_compare() -> None:
    interval = judged(claim_named("better_than_mae_vit_b"), [1.0, 2.0, 3.0]).interval
    assert interval is not None
    # Mean 2, deviation 1, t(2 degrees, 97.5 %) = 4.3027: 2 -+ 4.3027 / sqrt(3).
    assert (interval.low, interval.high) == pytest.approx((-0.48414, 4.48414), abs=1e-4)


def test_the_interval_of_a_deviation_by_hand() -> None:
    interval = deviation_interval([1.0, 2.0, 3.0, 4.0])
    # Variance 5 / 3, chi-square of 3 degrees: 0.2158 and 9.3484.
    assert (interval.low, interval.high) == pytest.approx((0.7313, 4.8134), abs=1e-3)


def test_seeds_that_agree_to_the_last_digit_are_no_interval() -> None:
    judgement = judged(claim_named("better_than_mae_vit_b"), [0.0, 0.0, 0.0])
    assert judgement.verdict is Verdict.CANNOT_TELL
    assert "agree to the last digit" in judgement.note


def test_memory_that_is_the_same_in_each_run_is_told() -> None:
    assert judged(claim_named("less_memory_than_mae"), [-5.0, -5.0, -5.0]).verdict is Verdict.HOLDS


def changed(runs: Runs, **fields: Any) -> Runs:
    """The first cell's records with other fields."""
    first = runs.records[0].backbone
    records = (
        replace(run, record=replace(run.record, **fields)) if run.backbone == first else run for run in runs.records
    )
    return Runs(tuple(records))


def test_other_recipes_or_machines_cannot_be_compared_unless_the_claim_is_about_them() -> None:
    def verdict(name: str, **fields: Any) -> tuple[Verdict, str]:
        claim = claim_named(name)
        runs = changed(planted(claim, by(claim, TRUE)), **fields)
        judgement = judge(claim, home_of(claim), RunIndex.of(runs))
        return judgement.verdict, judgement.note

    record = make_record("inat19", "any", 0, {})
    other = replace(record.recipe, hash="other")
    assert verdict("inaturalist", recipe=other) == (Verdict.CANNOT_TELL, "ran under different recipes")
    assert verdict("higher_resolution", recipe=other)[0] is Verdict.HOLDS
    assert verdict("epoch_cheaper_than_mae", recipe=other)[0] is Verdict.HOLDS
    elsewhere = replace(record.provenance, hardware={"processor": "another CPU"})
    assert verdict("inaturalist", provenance=elsewhere)[0] is Verdict.HOLDS
    told, note = verdict("epoch_cheaper_than_mae", provenance=elsewhere)
    assert (told, note) == (Verdict.CANNOT_TELL, "measured on different machines: another CPU, test CPU")


def test_seeds_without_a_partner_do_not_count() -> None:
    claim = claim_named("better_than_mae_vit_b")
    scale = home_of(claim)
    records = [make_record("imagenet_finetune", "mae_vit_b16", seed, {"top1": 50.0}) for seed in (0, 1)]
    records += [make_record("imagenet_finetune", "crossmae75_vit_b16", seed, {"top1": 60.0}) for seed in (2, 3)]
    runs = Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records))
    judgement = judge(claim, scale, RunIndex.of(runs))
    assert (judgement.verdict, judgement.note) == (Verdict.CANNOT_TELL, "no seed in common")
