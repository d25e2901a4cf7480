"""The page of what came out: from kept records alone, and no other than the committed one."""

import json
import platform
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossmae.errors import UserError
from results.reproduction.page import SUITES, with_block, write_page
from results.reproduction.records import keep, kept
from results.runs import Planned
from tests.support.runs import RunFolder

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "docs" / "reproduction"
README = "# Title\n\n<!-- demo: as it is -->\nold table\n<!-- end of demo -->\n\nRest\n"
MAE, CROSSMAE = {0: 50.0, 1: 51.0}, {0: 52.5, 1: 53.0}


def finished(folder: Path, names: tuple[str, ...] = ("mae", "crossmae"), **more: object) -> Path:
    """Two seeds of iNaturalist on MAE and on two or more of CrossMAE, with the pretraining of each."""
    runs = RunFolder(folder)
    for name in names:
        for seed, value in (CROSSMAE if "cross" in name else MAE).items():
            made = runs.pretrained(name, seed, minutes=2 if "cross" in name else 3)
            runs.record("inat19", name, seed, {"top1": value}, pretraining_run=made, **more)
    return folder


@pytest.fixture
def records(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    keep(finished(tmp_path / "runs"), "demo", folder)
    return folder


def committed() -> list[Path]:
    """The files of records; none before the first is committed."""
    return sorted(path for path in RECORDS.rglob("*") if path.is_file() and path.suffix != ".svg")


def rewritten(folder: Path, change: Callable[[Path], None] = lambda _: None) -> dict[str, bytes]:
    """Page, pictures and README, by their names in the repository, written from a copy of the committed records."""
    copy = folder / "docs" / "reproduction"
    copy.mkdir(parents=True)
    for path in committed():
        (copy / path.relative_to(RECORDS)).parent.mkdir(exist_ok=True)
        shutil.copy(path, copy / path.relative_to(RECORDS))
    shutil.copy(ROOT / "README.md", folder)
    change(copy)
    write_page(copy, copy.with_suffix(".md"), folder / "README.md")
    written = [folder / "README.md", copy.with_suffix(".md"), *copy.glob("*.svg")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in written}


def test_page_pictures_and_readme_are_those_of_the_committed_records(tmp_path: Path) -> None:
    made = rewritten(tmp_path)
    assert {name: (ROOT / name).read_bytes() for name in made} == made
    assert {f"docs/reproduction/{path.name}" for path in RECORDS.glob("*.svg")} <= made.keys()


def test_every_committed_file_of_records_is_on_the_page() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in committed())
    assert sum(len(kept(RECORDS, suite).records) for suite in SUITES) == lines
    missing = "<!-- demo: `make reproduction` writes this from docs/reproduction/demo -->\n\n<!-- end of demo -->"
    assert (missing in (ROOT / "README.md").read_text()) == (not kept(RECORDS, "demo").records)


def test_committed_records_name_no_host_and_no_folder() -> None:
    for path in committed():
        for line in map(json.loads, path.read_text().splitlines()):
            assert line["seed"] == int(path.stem)
            assert "host" not in line["provenance"]["hardware"]
            assert not [text for text in texts(line) if text.startswith(("/", "~")) or platform.node() == text]


@pytest.mark.parametrize("suite", SUITES)
def test_a_changed_number_of_a_committed_record_changes_the_page(suite: str, tmp_path: Path) -> None:
    if not kept(RECORDS, suite).records:
        pytest.skip(f"no records of {suite} are committed")
    before = rewritten(tmp_path / "before")
    after = rewritten(tmp_path / "after", lambda folder: change_first(folder / suite, 0.1))
    page = "docs/reproduction.md"
    assert before[page] != after[page]
    assert (before["README.md"] != after["README.md"]) == (suite == "demo")


def change_first(folder: Path, by: float) -> None:
    """Adds ``by`` to the first seed's top-1 of MAE on ImageNet."""
    path = min(folder.glob("*.jsonl"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    wanted = ("imagenet_finetune", {"demo": "mae", "mini": "mae_mini"}[folder.name])
    (record,) = (line for line in lines if (line["task"]["name"], line["backbone"]["name"]) == wanted)
    record["metrics"]["top1"] += by
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def texts(value: object) -> Iterator[str]:
    """Every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts(one)


def test_kept_records_are_those_of_the_runs_without_what_belongs_to_a_machine_s_folders(records: Path) -> None:
    assert sorted(path.name for path in (records / "demo").iterdir()) == ["0.jsonl", "1.jsonl"]
    values = {
        (run.backbone, run.record.seed): run.record.metrics["top1"]
        for run in kept(records, "demo").records
        if run.record.task.name == "inat19"
    }
    assert values == {(name, seed): v for name, by in (("mae", MAE), ("crossmae", CROSSMAE)) for seed, v in by.items()}
    text = (records / "demo" / "0.jsonl").read_text()
    assert "runs/demo" not in text
    assert "node17" not in text
    assert "test CPU" in text


def test_records_are_kept_in_one_order_whatever_the_folders_are_called(records: Path, tmp_path: Path) -> None:
    first = (records / "demo" / "0.jsonl").read_bytes()
    (tmp_path / "runs" / "pretrain").rename(tmp_path / "runs" / "zzz")
    keep(tmp_path / "runs", "demo", records)
    assert (records / "demo" / "0.jsonl").read_bytes() == first


def test_the_page_shows_differences_tables_ledger_and_pictures(records: Path, tmp_path: Path) -> None:
    page, readme = tmp_path / "kept.md", tmp_path / "README.md"
    readme.write_text(README)
    write_page(records, page, readme)
    text = page.read_text()
    # By hand: differences 2.5 and 2.0, mean 2.25, standard error 0.25, t(0.975, 1) = 12.706.
    assert "| +2.25  | -0.93 to +5.43" in text
    lead = "CrossMAE is ahead of MAE in 1 of 1 columns and behind in 0, +2.2 points on average"
    assert f"{lead}; by the intervals over 2 seeds it is better in 0, worse in 0, and 1 cannot be told." in text
    # 2,000 updates of 128 images by the records of iNaturalist.
    assert re.search(r"\| crossmae +\|.*\| 128 +\| 0.26 +\| 2.0 +\| bf16 +\| 0, 1 +\|", text)
    assert "Precision: bf16 in 8 runs. Versions: torch 2.13.0. Code: 3b59c1b." in text
    assert "### The demo" in text
    assert "### The paper's claims" in text
    assert "![Accuracy over the minutes of pretraining](kept/demo_1.svg)" in text
    assert (records / "demo_1.svg").read_bytes().startswith(b"<?xml")
    assert text.count("It was not run for this page.") == 1  # suite mini
    block = readme.read_text()
    assert "old table" not in block
    assert block.startswith("# Title\n\n<!-- demo: as it is -->\n")
    assert block.endswith("<!-- end of demo -->\n\nRest\n")
    assert "| CrossMAE" in block
    assert "| -0.93 to +5.43" in block
    assert lead in block
    write_page(records, page, readme)
    assert readme.read_text() == block


def test_the_page_of_suite_mini_sets_ours_next_to_the_paper(tmp_path: Path) -> None:
    names = ("mae_mini", "crossmae75_mini", "crossmae25_equal_time_mini")
    keep(finished(tmp_path / "runs", names), "mini", tmp_path / "kept")
    write_page(tmp_path / "kept", tmp_path / "kept.md", _readme(tmp_path))
    text = (tmp_path / "kept.md").read_text()
    assert "At equal updates, CrossMAE is ahead of MAE in 1 of 1 columns" in text
    assert "In equal time, CrossMAE is ahead of MAE in 1 of 1 columns" in text
    assert "CrossMAE transfers better than MAE to iNaturalist 2019" in text
    assert "cannot tell (mini)" in text
    assert sorted(path.name for path in (tmp_path / "kept").glob("*.svg")) == ["mini_1.svg"]
    assert (tmp_path / "README.md").read_text() == README  # it shows the demo alone


def test_without_records_the_page_says_so_and_the_readme_stays(tmp_path: Path) -> None:
    write_page(tmp_path / "kept", tmp_path / "kept.md", _readme(tmp_path))
    assert (tmp_path / "kept.md").read_text().count("It was not run for this page.") == len(SUITES)
    assert (tmp_path / "README.md").read_text() == README


def _readme(folder: Path) -> Path:
    path = folder / "README.md"
    path.write_text(README)
    return path


@pytest.mark.parametrize(
    "place",
    [
        ("deviations",),
        ("backbone", "name"),
        ("recipe", "execution", "precision"),
        ("provenance", "hardware", "processor"),
        ("provenance", "packages", "torch"),
        ("provenance", "git_commit"),
    ],
    ids=".".join,
)
def test_what_a_record_says_is_text(place: tuple[str, ...], records: Path, tmp_path: Path) -> None:
    hostile = "[x](http://evil)<b>![y](z)\n# T"
    path = records / "demo" / "0.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        inner = line
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = [hostile] if place == ("deviations",) else hostile
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_page(records, tmp_path / "kept.md", _readme(tmp_path))
    for text in ((tmp_path / "kept.md").read_text(), (tmp_path / "README.md").read_text()):
        assert "<b>" not in text
        assert not re.search(r"(?<!\\)\]\(http:", text)  # every link of ours is https
        assert "![y]" not in text
        assert "\n# T" not in text
    assert r"\[x\]" in (tmp_path / "kept.md").read_text()


def test_unfinished_benchmarks_are_not_kept(tmp_path: Path) -> None:
    runs = finished(tmp_path / "runs")
    RunFolder(runs).failure("places365", "mae", 0, "out of memory")
    with pytest.raises(UserError, match="no finished benchmark: places365 mae seed 0"):
        keep(runs, "demo", tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_of_a_plan_all_runs_are_kept_and_no_others(tmp_path: Path) -> None:
    runs = finished(tmp_path / "runs")
    planned = [Planned("inat19", "mae", seed) for seed in MAE]
    RunFolder(runs).failure("places365", "mine", 0, "out of memory")
    kept_files = keep(runs, "demo", tmp_path / "kept", planned)
    assert [run.backbone for run in kept(tmp_path / "kept", "demo").records] == ["mae"] * len(MAE)
    assert len(kept_files) == len(MAE)
    with pytest.raises(UserError, match="no finished benchmark: inat19 mae seed 7"):
        keep(runs, "demo", tmp_path / "kept", [*planned, Planned("inat19", "mae", 7)])


def test_a_readme_without_its_comments_is_refused(records: Path) -> None:
    with pytest.raises(UserError, match="lacks the comments"):
        with_block("# Title\n", records)
