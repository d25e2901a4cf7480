"""Accuracy by class: read off what runs left, in the report and as CSV."""

import csv
from pathlib import Path

import pytest

from results.classes import class_tables, write_classes
from results.report.write import write_report
from tests.support.runs import RunFolder


def leave(runs: RunFolder, backbone: str, seed: int, text: str, recipe_hash: str = "abc123") -> None:
    more = {"artifacts": {"classes": "classes.csv"}, "recipe_hash": recipe_hash}
    folder = runs.record("pets", backbone, seed, {"top1": 50.0}, **more)
    (folder / "classes.csv").write_text(text)


@pytest.fixture
def runs(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "runs")
    leave(made, "mae", 0, "class,images,top1\ncat,10,80.0\n<b>dog</b>,4,25.0\n")
    leave(made, "mae", 1, "class,images,top1\ncat,10,90.0\n<b>dog</b>,4,50.0\n")
    leave(made, "random", 0, "class,images,top1\ncat,10,40.0\n<b>dog</b>,4,0.0\n")
    return made


def test_means_over_seeds_with_the_least_accurate_class_first(runs: RunFolder) -> None:
    (table,), problems = class_tables(runs.runs())
    assert not problems
    assert (table.task, table.backbones, table.seeds) == ("pets", ("mae", "random"), (2, 1))
    assert [(row.name, row.images, row.means) for row in table.rows] == [
        ("<b>dog</b>", 4, (37.5, 0.0)),
        ("cat", 10, (85.0, 40.0)),
    ]


def test_each_metric_by_class_has_a_table(runs: RunFolder, tmp_path: Path) -> None:
    leave(runs, "mae", 0, "class,images,box_ap,mask_ap\nbolt,3,20.0,10.5\nnut,2,30.0,40.0\n", "boxes")
    leave(runs, "random", 0, "class,images,box_ap\nbolt,3,5.0\n", "boxes")
    _, boxes, masks = class_tables(runs.runs())[0]
    assert [(boxes.title, boxes.backbones), (masks.title, masks.backbones)] == [
        ("box AP", ("mae", "random")),
        ("mask AP", ("mae",)),
    ]
    assert [(row.name, row.means) for row in boxes.rows] == [("bolt", (20.0, 5.0)), ("nut", (30.0, None))]
    text = write_report(runs.runs(), tmp_path / "report.html", []).read_text()
    assert "pets, mask AP" in text


def test_runs_of_another_recipe_are_never_averaged_with_these(runs: RunFolder) -> None:
    before = class_tables(runs.runs())[0]
    leave(runs, "mae", 0, "class,images,top1\ncat,10,0.0\n", recipe_hash="changed0")
    tables, problems = class_tables(runs.runs())
    assert not problems
    assert [table.recipe for table in tables] == ["pets_demo (abc123)", "pets_demo (changed0)"]
    assert tables[:1] == before
    assert [(row.name, row.means) for row in tables[1].rows] == [("cat", (0.0,))]


def test_the_csv_has_a_line_for_each_class_and_backbone(runs: RunFolder, tmp_path: Path) -> None:
    write_classes(runs.runs(), tmp_path)
    lines = list(csv.reader((tmp_path / "classes.csv").open()))
    assert lines[0] == ["task", "recipe", "data", "metric", "class", "images", "backbone", "seeds", "percent"]
    assert ["pets", "pets_demo (abc123)", "", "top1", "cat", "10", "mae", "2", "85.0"] in lines
    assert len(lines) == 5
    write_classes(RunFolder(tmp_path / "none").runs(), tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_the_report_shows_them_and_a_name_is_text(runs: RunFolder, tmp_path: Path) -> None:
    text = write_report(runs.runs(), tmp_path / "report.html", []).read_text()
    assert '<section id="classes">' in text
    assert "&lt;b&gt;dog&lt;/b&gt;" in text
    assert "<b>dog" not in text
    assert "<td>37.5</td>" in text


@pytest.mark.parametrize(
    "content", ["", "class,images\ncat,3\n", "class,images,top1\ncat,3,nan\n", "\0\n1\n", "a\n1\n"]
)
def test_a_file_that_holds_something_else_is_one_line_in_the_report(
    runs: RunFolder, tmp_path: Path, content: str
) -> None:
    leave(runs, "odd", 0, content)
    (table,), problems = class_tables(runs.runs())
    assert table.backbones == ("mae", "random")
    assert len(problems) == (content != "")
    assert all("odd" in line and "classes.csv" in line for line in problems)
