"""Comparisons: paired over seeds and samples, honest about what they cannot tell."""

import random
from pathlib import Path

import pytest

from crossmae.errors import UserError
from results.compare import Comparison, ComparisonVerdict, compare, sentence
from results.runs import Runs, StoredRecord
from tests.support.runs import RunFolder, make_record


def pairs(differences: list[float], base: list[float] | None = None) -> Runs:
    """Backbones a and b on one task, a seed per difference."""
    base = base or [50.0 + 3 * seed for seed in range(len(differences))]
    records = []
    for seed, (start, difference) in enumerate(zip(base, differences, strict=True)):
        records.append(make_record("inat19", "a", seed, {"top1": start + difference}))
        records.append(make_record("inat19", "b", seed, {"top1": start}))
    return Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records))


def only(runs: Runs) -> Comparison:
    (comparison,) = compare(runs, "a", "b")
    return comparison


def test_a_paired_difference_checked_by_hand() -> None:
    comparison = only(pairs([1.0, 2.0, 3.0]))
    # Mean 2, deviation 1, t(2 degrees, 97.5 %) = 4.3027: 2 -+ 4.3027 / sqrt(3).
    assert comparison.over_seeds.mean == pytest.approx(2.0)
    assert (comparison.over_seeds.low, comparison.over_seeds.high) == pytest.approx((-0.48414, 4.48414), abs=1e-4)
    assert comparison.verdict is ComparisonVerdict.CANNOT_TELL


@pytest.mark.parametrize(
    ("differences", "verdict", "words"),
    [
        ([2.0, 2.1, 1.9], ComparisonVerdict.BETTER, "a is better"),
        ([-2.0, -2.1, -1.9], ComparisonVerdict.WORSE, "a is worse"),
        ([2.0, -2.1, 1.9], ComparisonVerdict.CANNOT_TELL, "cannot tell"),
        ([20.0], ComparisonVerdict.CANNOT_TELL, "one seed: cannot tell"),
    ],
)
def test_the_verdict_in_plain_words(differences: list[float], verdict: ComparisonVerdict, words: str) -> None:
    comparison = only(pairs(differences))
    assert comparison.verdict is verdict
    assert words in sentence(comparison)


def test_lower_is_better_for_runtimes() -> None:
    records = [
        make_record("speed", name, seed, {"minutes_per_epoch": minutes + seed / 10})
        for seed in range(3)
        for name, minutes in (("a", 5.0), ("b", 9.0))
    ]
    runs = Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records))
    # The differences agree to rounding, so the interval is as narrow as can be.
    assert only(runs).verdict is ComparisonVerdict.BETTER


def test_where_decoders_look_is_not_compared() -> None:
    records = [
        make_record(task, name, seed, {metric: value + seed})
        for seed in range(3)
        for name, value in (("a", 5.0), ("b", 9.0))
        for task, metric in (("attention", "to_visible_sum"), ("psnr", "psnr"))
    ]
    assert only(Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records))).metric == "psnr"


def test_seeds_that_disagree_are_named() -> None:
    assert only(pairs([2.0, -0.5, 1.9])).disagreeing_seeds() == (1,)


def test_different_recipes_cannot_be_compared() -> None:
    records = [
        make_record("inat19", name, seed, {"top1": top1 + seed / 10}, recipe_hash=name)
        for name, top1 in (("a", 80.0), ("b", 70.0))
        for seed in (0, 1, 2)
    ]
    comparison = only(Runs(tuple(StoredRecord(Path("nowhere"), record) for record in records)))
    assert comparison.verdict is ComparisonVerdict.CANNOT_TELL
    assert "different recipes" in sentence(comparison)


def test_samples_are_paired_where_runs_kept_them(made: RunFolder) -> None:
    for name, hits in (("a", "1111"), ("b", "1010")):
        folder = made.record("inat19", name, 0, {"top1": 50.0}, artifacts={"per_sample": "per_sample.csv"})
        lines = [f"image{place},{hit}" for place, hit in enumerate(hits)]
        (folder / "per_sample.csv").write_text("\n".join(["sample,top1", *lines]))
    comparison = only(made.runs())
    assert comparison.over_samples is not None
    # Differences 0, 100, 0, 100: mean 50, deviation 57.735, t(3 degrees) = 3.1824.
    assert comparison.over_samples.mean == pytest.approx(50.0)
    assert comparison.over_samples.low == pytest.approx(50 - 3.1824 * 57.735 / 2, abs=0.01)
    assert comparison.verdict is ComparisonVerdict.CANNOT_TELL  # One seed says nothing about training again.
    assert "Over 4 validation samples, for the models of these seeds alone: +50.00" in sentence(comparison)


def test_the_interval_covers_a_known_difference_at_its_stated_rate() -> None:
    draw = random.Random(0)
    covered = 0
    for _ in range(500):
        base = [draw.gauss(70, 3) for _ in range(4)]
        interval = only(pairs([draw.gauss(1.5, 0.8) for _ in base], base)).over_seeds
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 1.5 <= interval.high
    # Binomial, 500 at 95 %: 475 with a deviation of 4.9.
    assert 460 <= covered <= 490


def test_an_unknown_backbone_or_nothing_in_common_is_one_line(made: RunFolder) -> None:
    made.record("inat19", "a", 0, {"top1": 50.0})
    made.record("inat19", "b", 1, {"top1": 50.0})
    with pytest.raises(UserError, match="there are a, b"):
        compare(made.runs(), "a", "c")
    with pytest.raises(UserError, match="no task and seed in common"):
        compare(made.runs(), "a", "b")


@pytest.mark.parametrize("value", ["nan", "1e999", "many"])
def test_samples_that_are_no_numbers_are_named_and_the_seeds_still_compared(made: RunFolder, value: str) -> None:
    for name in ("a", "b"):
        folder = made.record("inat19", name, 0, {"top1": 50.0}, artifacts={"per_sample": "per_sample.csv"})
        (folder / "per_sample.csv").write_text(f"sample,top1\nimage0,1\nimage1,{value if name == 'b' else 1}\n")
    comparison = only(made.runs())
    assert comparison.over_samples is None
    assert "one seed: cannot tell" in sentence(comparison)
    assert "Not used: " in sentence(comparison)
    assert "per_sample.csv" in sentence(comparison)


def test_samples_outside_the_runs_folder_are_not_read(made: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("sample,top1\nimage0,1\nimage1,0\n")
    for name in ("a", "b"):
        made.record("inat19", name, 0, {"top1": 50.0}, artifacts={"per_sample": str(tmp_path / "other.csv")})
    comparison = only(made.runs())
    assert comparison.over_samples is None
    assert "outside the run's folder" in sentence(comparison)


def test_a_name_cannot_send_commands_to_the_terminal() -> None:
    runs = pairs([1.0, 2.0])
    assert "\x1b" not in sentence(compare(runs, "a", "b")[0])
    hostile = tuple(make_record("inat19", name, 0, {"top1": 1.0}) for name in ("a\x1b]0;x\x07", "b"))
    runs = Runs(tuple(StoredRecord(Path("nowhere"), record) for record in hostile))
    text = sentence(compare(runs, "a\x1b]0;x\x07", "b")[0])
    assert "\x1b" not in text
    assert "\x07" not in text
