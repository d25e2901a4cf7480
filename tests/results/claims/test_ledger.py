"""The ledger as it is written: complete, safe to show, and whole whatever lies in the folder of runs."""

import csv
import io
from pathlib import Path

import pytest

from crossmae.errors import UserError
from results.claims.ledger import LedgerLine, ledger
from results.claims.spec import load_claims
from results.claims.verdict import Verdict
from results.claims.write import comma_separated, html_part, markdown, terminal, write_ledger
from results.report.write import write_report
from tests.support.runs import RunFolder

BETTER = "better_than_mae_400"


@pytest.fixture
def demo(made: RunFolder) -> RunFolder:
    """Three seeds of the demo in which CrossMAE fine-tunes 2 points better, and transfers worse."""
    for seed, jitter in enumerate((0.0, 0.1, -0.1)):
        for task, difference in (("imagenet_finetune", 2.0), ("inat19", -3.0)):
            made.record(task, "mae", seed, {"top1": 50.0 + 2 * seed, "top5": 90.0})
            made.record(task, "crossmae", seed, {"top1": 50.0 + 2 * seed + difference + jitter, "top5": 90.0})
    return made


def lines_of(made: RunFolder, name: str, scale: str | None = None) -> list[LedgerLine]:
    return [line for line in ledger(made.runs(), scale).lines if line.claim.name == name]


def test_each_claim_has_a_line_and_a_verdict(demo: RunFolder) -> None:
    shown = ledger(demo.runs())
    assert [line.claim for line in shown.lines] == list(load_claims())
    verdicts = {line.claim.name: line.ours.verdict for line in shown.lines}
    assert verdicts[BETTER] is Verdict.HOLDS
    assert verdicts["inaturalist"] is Verdict.DOES_NOT_HOLD
    assert verdicts["seeds_agree"] is Verdict.DOES_NOT_HOLD  # The three seeds are 2 points apart.
    assert verdicts["segmentation"] is Verdict.NOT_RUN
    assert "judged at scale demo, 3 hold, 2 do not hold, 0 cannot be told, 41 were not run" in shown.summary()


def test_without_runs_nothing_was_run_and_nothing_is_written(made: RunFolder, tmp_path: Path) -> None:
    made.record("inat19", "mine", 0, {"top1": 50.0})
    assert {line.ours.verdict for line in ledger(made.runs()).lines} == {Verdict.NOT_RUN}
    assert write_ledger(made.runs(), tmp_path / "tables") == ""
    assert not (tmp_path / "tables").exists()


def test_a_claim_is_judged_at_every_scale_that_was_run(demo: RunFolder) -> None:
    for seed, jitter in enumerate((0.0, 0.1, -0.1)):
        demo.record("imagenet_finetune", "mae_400ep", seed, {"top1": 80.0 + seed})
        demo.record("imagenet_finetune", "crossmae75_400ep", seed, {"top1": 79.0 + seed + jitter})
    assert {line.scale and line.scale.name: line.ours.verdict for line in lines_of(demo, BETTER)} == {
        "ablations": Verdict.DOES_NOT_HOLD,
        "demo": Verdict.HOLDS,
    }
    (only,) = lines_of(demo, BETTER, "ablations")
    assert only.ours.verdict is Verdict.DOES_NOT_HOLD
    assert {line.ours.verdict for line in ledger(demo.runs(), "paper").lines} == {Verdict.NOT_RUN}
    with pytest.raises(UserError, match="no scale 'small'; known: paper, ablations, demo"):
        ledger(demo.runs(), "small")


def test_all_forms_say_the_same(demo: RunFolder, tmp_path: Path) -> None:
    shown = ledger(demo.runs())
    line = write_ledger(demo.runs(), tmp_path)
    assert str(tmp_path / "claims.md") in line
    assert (tmp_path / "claims.md").read_text() == markdown(shown)
    assert (tmp_path / "claims.csv").read_text() == comma_separated(shown)
    rows = {row["claim"]: row for row in csv.DictReader(io.StringIO(comma_separated(shown)))}
    assert len(rows) == len(load_claims())
    # Differences 2.0, 2.1, 1.9: mean 2, deviation 0.1, 2 -+ 4.3027 x 0.1 / sqrt(3).
    row = rows[BETTER]
    assert [float(row[key]) for key in ("difference", "low", "high", "published_difference")] == pytest.approx(
        [2.0, 1.7516, 2.2484, 0.3], abs=1e-3
    )
    assert (row["scale"], row["verdict"], row["seeds"]) == ("demo", "holds", "3")
    assert row["deviations"] == "generated demo data"
    for text in (terminal(shown), markdown(shown), html_part(shown)):
        words = " ".join(text.split())
        assert "+2.00 (+1.75 to +2.25)" in words
        assert "does not hold" in words
        assert "Verdicts at this scale say nothing about ImageNet" in words


def test_a_published_difference_that_is_smaller_than_its_noise_is_named(made: RunFolder) -> None:
    text = " ".join(markdown(ledger(made.runs())).split())
    assert "+0.10; smaller than its noise, 0.11 (four seeds, Table 14)" in text
    assert "+0.30; smaller than its noise, 2.05 (3,030 validation images)" in text
    assert "-0.70; contradicts the claim by more than its noise, 0.28 (five seeds, ViTDet's README)" in text
    assert "+0.20; smaller than its noise, 0.28 (five seeds, ViTDet's README)" in text
    assert "the noise is known for 34 claims; 13 of them are clear of it" in text


def test_a_damaged_record_takes_only_its_own_seed_away(demo: RunFolder) -> None:
    for seed, content in ((0, "{"), (1, '{"metrics": {"top1": NaN}}')):
        (demo.folder("inat19", "crossmae", seed) / "record.json").write_text(content)
    (inat,) = lines_of(demo, "inaturalist")
    assert inat.ours.verdict is Verdict.CANNOT_TELL
    assert "seed 0: " in inat.ours.note
    assert "truncated" in inat.ours.note
    assert lines_of(demo, BETTER)[0].ours.verdict is Verdict.HOLDS


def test_two_records_that_contradict_each_other_count_as_failed(demo: RunFolder) -> None:
    copy = RunFolder(demo.out / "copied")
    copy.record("inat19", "crossmae", 0, {"top1": 99.0, "top5": 99.0})
    (inat,) = lines_of(demo, "inaturalist")
    assert inat.ours.interval is not None
    assert inat.ours.interval.count == 2
    assert "claim the same identity" in inat.ours.note


def test_a_claim_that_failed_says_why(made: RunFolder) -> None:
    made.record("ade20k_upernet", "mae", 0, {"miou": 30.0})
    made.failure("ade20k_upernet", "crossmae", 0, "no room on the disk")
    (line,) = lines_of(made, "segmentation")
    assert (line.ours.verdict, line.ours.note) == (Verdict.NOT_RUN, "seed 0: no room on the disk")


def test_texts_of_others_cannot_act(demo: RunFolder, tmp_path: Path) -> None:
    evil = "=cmd|' /C calc'!A0\x1b]0;x\x07 <script>alert(1)</script> ![x](https://example.org/x.png)"
    demo.failure("inat19", "crossmae", 3, evil)
    demo.record("ade20k_upernet", "mae", 0, {"miou": 1.0}, deviations=[evil])
    demo.record("ade20k_upernet", "crossmae", 0, {"miou": 1.0}, deviations=[evil])
    shown = ledger(demo.runs())
    for text in (terminal(shown), markdown(shown), comma_separated(shown), html_part(shown)):
        assert not {"\x1b", "\x07"} & set(text)
    for text in (markdown(shown), html_part(shown)):
        assert "<script" not in text
    assert "![" not in markdown(shown)
    cells = [cell for row in csv.reader(io.StringIO(comma_separated(shown))) for cell in row]
    assert not any(cell.startswith("=") for cell in cells)
    assert "<script" not in write_report(demo.runs(), tmp_path / "report.html", ["demo"]).read_text()


def test_the_report_has_a_section_of_claims_if_any_was_run(demo: RunFolder, made: RunFolder, tmp_path: Path) -> None:
    text = write_report(demo.runs(), tmp_path / "report.html", ["demo"]).read_text()
    assert text.index('<section id="tables">') < text.index('<section id="claims">') < text.index('<section id="cost">')
    assert "Random masks are better than masks on a grid." in text
    other = RunFolder(tmp_path / "other")
    other.record("inat19", "mine", 0, {"top1": 50.0})
    assert 'id="claims"' not in write_report(other.runs(), tmp_path / "other.html", ["demo"]).read_text()
