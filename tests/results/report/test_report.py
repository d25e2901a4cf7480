"""The report: one file that needs nothing else, shows everything, and claims no more than the runs can carry."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from results.report.curves import read_curves
from results.report.figures import colours_of
from results.report.pictures import read_pictures
from results.report.summary import summarise
from results.report.write import write_report
from results.tables.spec import load_table
from results.tables.write import tables_with_results
from tests.support.runs import RunFolder


class Loads(HTMLParser):
    """Everything that a browser would fetch to show a page, and the tags it consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "poster")]
        self.addresses += [value or "" for name, value in attrs if name == "href" and tag == "link"]


def report_of(made: RunFolder, tmp_path: Path) -> str:
    return write_report(made.runs(), tmp_path / "report.html", ["demo"], title="A <report>").read_text()


def test_it_is_one_file_without_scripts_that_loads_nothing(dressed: RunFolder, tmp_path: Path) -> None:
    page = Loads(report_of(dressed, tmp_path))
    assert page.addresses
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not page.tags & {"script", "iframe", "object", "embed"}
    assert list(tmp_path.glob("*report*")) == [tmp_path / "report.html"]


def test_it_draws_accuracy_over_the_time_of_pretraining(hand_checked: RunFolder, tmp_path: Path) -> None:
    drawn = 'alt="accuracy over pretraining time"'
    assert drawn not in report_of(hand_checked, tmp_path)
    for name, minutes in (("mae", 3.0), ("crossmae", 2.0)):
        made_by = hand_checked.pretrained(name, 3, minutes)
        hand_checked.record("inat19", name, 3, {"top1": 50.0}, pretraining_run=made_by)
    assert report_of(hand_checked, tmp_path).count(drawn) == 3  # the columns in which one of them has a number


def test_it_shows_tables_curves_pictures_failures_and_commands(dressed: RunFolder, tmp_path: Path) -> None:
    text = report_of(dressed, tmp_path)
    for words in (
        "70.0 ± 1.2",
        "seed 1: instances_train2017.json is truncated",
        "run_all --suite demo --out runs/demo --seed 2",
        "BN for SyncBN",
        "A &lt;report&gt;",
        'name="viewport"',
    ):
        assert words in text
    assert text.count("data:image/png") + text.count("data:image/jpeg") == 6  # One seed of each task and backbone.
    assert text.count('alt="learning curve"') == 3  # The loss of three tasks; the learning rate is no result.


def test_texts_from_runs_cannot_break_the_page(made: RunFolder, tmp_path: Path) -> None:
    made.record("inat19", "<script>alert(1)</script>", 0, {"top1": 50.0}, deviations=["<b>bold</b>"])
    made.failure("inat19", "mae", 0, "<script>alert(2)</script>")
    page = Loads(report_of(made, tmp_path))
    assert not page.tags & {"script"}


def test_an_empty_folder_gives_a_report_that_says_so(made: RunFolder, tmp_path: Path) -> None:
    assert "No finished runs were found." in report_of(made, tmp_path)


def test_the_summary_counts_and_names_what_disagrees(made: RunFolder) -> None:
    for seed, gain in enumerate((3.0, -1.0, 4.0)):
        made.record("inat19", "random", seed, {"top1": 50.0})
        made.record("inat19", "crossmae", seed, {"top1": 50.0 + gain})
    made.failure("places365", "mae", 0, "no images")
    was_run, says, mind = summarise(made.runs(), [load_table("demo")])
    assert was_run.startswith("6 runs of 1 task on 2 backbones (crossmae, random) finished under seeds 0, 1, 2")
    assert was_run.endswith("1 failed and 0 did not finish.")
    assert "crossmae minus random is above 0 in 1 of 1 columns (+2.0 to +2.0 points)" in says
    assert "excluding 0 in 0; single seeds disagree in top1 of inat19 (crossmae minus random, seed 1)" in says
    assert mind.startswith("6 runs used generated demo data, whose numbers compare with no published one")


def test_own_tasks_and_backbones_have_their_sentence(made: RunFolder, tmp_path: Path) -> None:
    for name, top1 in (("alpha", 50.0), ("beta", 60.0)):
        made.record("pets_knn", name, 0, {"top1": top1}, deviations=())
    assert tables_with_results(made.runs()) == ["overview"]
    page = write_report(made.runs(), tmp_path / "report.html", ["overview"]).read_text()
    assert "beta minus alpha is above 0 in 1 of 1 columns" in page
    assert "pets_knn top1" in page
    assert "missing" not in page
    assert "generated" not in page


def test_columns_that_rank_nothing_are_not_counted(made: RunFolder) -> None:
    for name, top1, psnr in (("mae", 50.0, 22.0), ("crossmae", 60.0, 21.0)):
        made.record("inat19", name, 0, {"top1": top1})
        made.record("psnr", name, 0, {"psnr": psnr})
    says = summarise(made.runs(), [load_table("demo"), load_table("demo_decoders")])[1]
    assert "crossmae minus mae is above 0 in 1 of 1 columns (+10.0 to +10.0 points)" in says


def test_pictures_say_what_they_show(made: RunFolder) -> None:
    folder = made.record("coco_vitdet", "mae", 0, {"box_ap": 1.0}, artifacts={"detections": "drawn.png"})
    Image.new("RGB", (8, 8)).save(folder / "drawn.png")
    (picture,) = read_pictures(made.runs().records).tasks["coco_vitdet"]
    assert picture.caption == "detections (ground truth on the left, predictions on the right)"


def test_one_seed_is_never_called_a_difference(made: RunFolder) -> None:
    made.record("inat19", "random", 0, {"top1": 50.0})
    made.record("inat19", "crossmae", 0, {"top1": 70.0})
    says = summarise(made.runs(), [load_table("demo")])[1]
    assert says.startswith("With one seed no difference can be told from chance: ")


def test_steps_repeated_after_a_resume_count_once(made: RunFolder) -> None:
    folder = made.record("inat19", "mae", 0, {"top1": 50.0})
    steps = [1, 2, 3, 2, 3, 4]
    lines = [json.dumps({"step": step, "total": 4, "loss": float(place)}) for place, step in enumerate(steps)]
    (folder / "progress.jsonl").write_text("\n".join(lines))
    (curve,) = read_curves(made.runs().records)[0]["inat19"]["loss"]
    assert (curve.steps, curve.values) == ((1, 2, 3, 4), (0.0, 3.0, 4.0, 5.0))


def test_pictures_share_the_budget_and_a_broken_one_is_left_out(made: RunFolder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for task in ("coco_vitdet", "ade20k_upernet"):
        pictures = {f"p{number}": f"p{number}.png" for number in range(4)}
        folder = made.record(task, "mae", 0, {"miou": 1.0}, artifacts=pictures)
        for name in pictures.values():
            Image.fromarray(noise).save(folder / name)
    (folder / "p0.png").write_bytes(b"no picture")
    read = read_pictures(made.runs().records, budget=200_000)
    shown = [picture for pictures in read.tasks.values() for picture in pictures]
    assert set(read.tasks) == {"coco_vitdet", "ade20k_upernet"}
    assert read.left_out == 8 - len(shown)
    assert sum(len(picture.uri) for picture in shown) <= 200_000
    assert "p0" not in [picture.name for picture in read.tasks["ade20k_upernet"]]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (b'{"step": 1, "loss": "\xff"}', "hold something else than progress: 1"),
        (b'{"step": 1, "loss": null}', "hold something else than progress: 1"),
        (b'{"step": "one", "loss": 1.0}', "hold something else than progress: 1"),
        (b"[]", "hold something else than progress: 1"),
    ],
)
def test_wrong_lines_of_progress_are_named_and_the_curve_is_drawn(
    made: RunFolder, tmp_path: Path, bad: bytes, word: str
) -> None:
    folder = made.record("inat19", "mae", 0, {"top1": 50.0})
    good = [json.dumps({"step": step, "loss": 1.0 / step}).encode() for step in (2, 3, 4)]
    (folder / "progress.jsonl").write_bytes(b"\n".join([bad, *good]))
    text = report_of(made, tmp_path)
    assert text.count('alt="learning curve"') == 1
    assert f"progress.jsonl: lines that {word}" in text


def test_losses_that_left_the_numbers_are_gaps(made: RunFolder) -> None:
    folder = made.record("inat19", "mae", 0, {"top1": 50.0})
    values = [1.0, float("nan"), float("inf"), 1e308, 10**400, 2.0]
    lines = [json.dumps({"step": step, "loss": value}) for step, value in enumerate(values)]
    (folder / "progress.jsonl").write_text("\n".join(lines))
    curves, problems = read_curves(made.runs().records)
    assert curves["inat19"]["loss"][0].values == (1.0, 2.0)
    assert not problems


def test_a_name_is_no_mathematics(made: RunFolder, tmp_path: Path) -> None:
    for name in ("a$\\foo{$", "b\udcff"):
        made.record("inat19", name, 0, {"top1": 50.0})
    assert report_of(made, tmp_path).count('alt="dot plot"') == 1


def bad_pictures(tmp_path: Path, folder: Path) -> dict[str, str]:
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    Image.new("RGB", (8, 8)).save(folder / "eps.jpg", "EPS")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    up = "/".join([".."] * 5)
    return {
        "absolute": str(tmp_path / "outside.png"),
        "up": f"{up}/outside.png",
        "link": "link.png",
        "eps": "eps.jpg",
        "bomb": "bomb.png",
        "folder": "folder.png",
        "pipe": "pipe.png",
        "null": "a\0.png",
    }


def test_only_pictures_of_the_runs_own_folder_are_shown_and_the_rest_is_named(made: RunFolder, tmp_path: Path) -> None:
    folder = made.folder("coco_vitdet", "mae", 0)
    folder.mkdir(parents=True)
    artifacts = {**bad_pictures(tmp_path, folder), "good": "good.png"}
    Image.new("RGB", (8, 8)).save(folder / "good.png")
    made.record("coco_vitdet", "mae", 0, {"box_ap": 1.0}, artifacts=artifacts)
    read = read_pictures(made.runs().records)
    assert [picture.name for picture in read.tasks["coco_vitdet"]] == ["good"]
    assert len(read.problems) == read.left_out == 8
    assert "cannot be shown" in report_of(made, tmp_path)


def test_a_backbone_has_one_colour_and_no_other_has_it() -> None:
    colours = colours_of(["mine", "mae_vit_b16", "crossmae25_vit_b16", "crossmae75_vit_b16", "random"])
    assert len(set(colours.values())) == 5
    assert colours["mae_vit_b16"] == colours_of(["mae"])["mae"]


def test_backbones_of_any_name_are_compared(made: RunFolder) -> None:
    for name, top1 in (("dino", 60.0), ("beit", 50.0)):
        for seed in range(3):
            made.record("inat19", name, seed, {"top1": top1 + seed / 10})
    says = summarise(made.runs(), [load_table("demo")])[1]
    assert "dino minus beit is above 0 in 1 of 1 columns" in says
