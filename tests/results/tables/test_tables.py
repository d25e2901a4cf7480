"""Tables show what was measured, never hide what was not, and keep published numbers marked and apart."""

import csv
import io
from pathlib import Path

import pytest
import yaml

from crossmae.errors import UserError
from results.runs import Planned, find_runs
from results.tables.fill import CellState
from results.tables.formats import comma_separated, markdown, terminal
from results.tables.markup import BLANK
from results.tables.published import all_numbers
from results.tables.spec import load_table, table_names
from results.tables.table import Table
from results.tables.write import fill_tables, tables_with_results, write_tables
from tests.support.runs import RunFolder

PAPER = [
    *(f"table{n}" for n in (1, 2, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17, 18)),
    *(f"table3{x}" for x in "abcdef"),
]


def filled(name: str, made: RunFolder) -> Table:
    (table,) = fill_tables([name], made.runs())
    return table


def cell_of(table: Table, row: str, column: str) -> dict[str, str]:
    rows = csv.DictReader(io.StringIO(comma_separated(table)))
    (found,) = (one for one in rows if one["row"] == row and one["column"] == column and one["status"] != "published")
    return found


def test_mean_and_standard_error_over_three_seeds(hand_checked: RunFolder) -> None:
    table = filled("demo", hand_checked)
    # 68, 70, 72: mean 70, sample deviation 2, over the square root of 3.
    cell = cell_of(table, "CrossMAE", "ImageNet-style fine-tuning top-1")
    assert float(cell["mean"]) == pytest.approx(70.0)
    assert float(cell["standard_error"]) == pytest.approx(1.1547005)
    assert "70.0 ± 1.2" in terminal(table)


def test_a_failed_seed_is_shown_with_its_reason_and_never_averaged_over(hand_checked: RunFolder) -> None:
    table = filled("demo", hand_checked)
    cell = cell_of(table, "CrossMAE", "COCO box AP")
    assert (cell["status"], cell["mean"]) == ("failed", "")
    assert "seed 1: instances_train2017.json is truncated" in cell["note"]
    assert "seed 0: 28.00, seed 2: 30.00" in cell["note"]
    assert "29.0" not in terminal(table)


def test_a_cell_that_never_ran_is_missing(hand_checked: RunFolder) -> None:
    assert cell_of(filled("demo", hand_checked), "MAE", "ADE20K mIoU")["status"] == "missing"


def test_a_metric_that_a_finished_run_does_not_have_is_not_missing(made: RunFolder, tmp_path: Path) -> None:
    made.record("ade20k_upernet", "crossmae", 0, {"miou": 30.0})
    made.record("ade20k_upernet", "mae", 0, {"miou": 30.0, "miou_foreground": 20.0})
    columns = [{"task": "ade20k_upernet", "metric": metric} for metric in ("miou", "miou_foreground")]
    (tmp_path / "table.yaml").write_text(
        yaml.safe_dump({"title": "t", "rows": [{"backbone": "*"}], "columns": columns})
    )
    text = terminal(filled(str(tmp_path / "table.yaml"), made))
    assert "20.0" in text
    assert "missing" not in text


def test_a_planned_seed_that_never_began_makes_the_cell_missing(hand_checked: RunFolder, tmp_path: Path) -> None:
    planned = [Planned("imagenet_finetune", "random", seed) for seed in range(4)]
    text = write_tables(find_runs(hand_checked.out, planned), ["demo"], tmp_path)
    assert "seed 3: not finished; done, but not averaged: seed 0: 60.00, seed 1: 61.00, seed 2: 62.00" in text


def test_every_deviation_is_marked_and_explained(hand_checked: RunFolder) -> None:
    text = terminal(filled("demo", hand_checked))
    assert "61.0 ± 0.6 [a]" in text
    assert "39.0 ± 0.6 [a,b]" in text
    assert "[a] generated demo data\n[b] BN for SyncBN\n" in text


def test_deviations_share_a_letter_only_if_they_always_occur_together(made: RunFolder) -> None:
    for task, metric, deviations in (
        ("inat19", "top1", ["demo data", "short schedule"]),
        ("places365", "top1", ["demo data", "short schedule", "no CutMix"]),
        ("ade20k_upernet", "miou", ["demo data", "short schedule", "small heads"]),
    ):
        made.record(task, "mae", 0, {metric: 50.0}, deviations=deviations)
    text = terminal(filled("demo", made))
    assert "[a] demo data; short schedule\n[b] no CutMix\n[c] small heads\n" in text


def test_a_failed_pretraining_explains_the_missing_cells(made: RunFolder) -> None:
    made.failure("pretrain", "mae", 0, "the loss is not finite")
    assert "pretraining failed: seed 0: the loss is not finite" in terminal(filled("demo", made))


def test_the_best_of_ours_is_bold_in_each_column(hand_checked: RunFolder) -> None:
    text = markdown(filled("demo", hand_checked))
    assert "**70.0 ± 1.2**" in text
    assert "**61.0" not in text
    assert "**83" not in text


def test_different_protocols_are_never_averaged(made: RunFolder) -> None:
    made.record("inat19", "mae", 0, {"top1": 70.0}, recipe_hash="old", finished="2026-08-01T00:00:00+00:00")
    made.record("inat19", "mae", 1, {"top1": 80.0}, recipe_hash="new", finished="2026-08-02T00:00:00+00:00")
    cell = cell_of(filled("demo", made), "MAE", "iNaturalist 2019 top-1")
    assert float(cell["mean"]) == 80.0
    assert "newest of 2 protocols" in cell["note"]


def test_other_backbones_get_rows_of_their_own(hand_checked: RunFolder) -> None:
    hand_checked.record("inat19", "my_method", 0, {"top1": 70.0})
    rows = [row.name for row in filled("demo", hand_checked).rows]
    assert rows == ["random", "MAE", "CrossMAE", "CrossMAE, in MAE's time", "my_method"]
    hand_checked.record("imagenet_finetune", "my_method_vit_b16", 0, {"top1": 83.0})
    assert filled("table1", hand_checked).rows[-1].name == "my_method"


def test_ours_stands_beside_published_with_the_difference(made: RunFolder) -> None:
    made.record("imagenet_finetune", "mae_vit_b16", 0, {"top1": 83.1})
    text = markdown(filled("table1", made))
    row = next(line for line in text.splitlines() if line.startswith("| MAE (800 ep)"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[4:6] == ["83.3", "83.1 (−0.2) <sup>a</sup>"]  # noqa: RUF001
    assert "best validation epoch" in text


def test_runtimes_name_their_machine_and_are_not_subtracted(made: RunFolder) -> None:
    made.record("speed", "mae_vit_b16", 0, {"minutes_per_epoch": 100.0, "memory_mb": 1000.0})
    text = terminal(filled("table18", made))
    assert "measured on test CPU" in text
    assert "(+94" not in text


def published_values(table: Table) -> set[float]:
    return {number.value for number in all_numbers(f"crossmae_{table.name}")}


@pytest.mark.parametrize("name", PAPER)
def test_every_table_of_the_paper_fills_each_place(name: str, made: RunFolder) -> None:
    table = filled(name, made)
    columns = [place for place, column in enumerate(table.columns) if not column.pretraining]
    entries = [row.entries[place] for row in table.rows for place in columns]
    assert any(entry.published for entry in entries)
    assert all(entry.published or entry.ours.state is not CellState.EMPTY for entry in entries) or name in (
        "table1",
        "table2",
    )
    assert any(entry.ours.state is CellState.MISSING for entry in entries)


COST = ("pretraining, million images", "pretraining, device-minutes")


def test_cost_stands_next_to_accuracy_by_the_record_of_the_pretraining(made: RunFolder) -> None:
    for seed, minutes in enumerate((3.0, 5.0)):
        made_by = made.pretrained("crossmae", seed, minutes)
        made.record("inat19", "crossmae", seed, {"top1": 70.0}, pretraining_run=made_by)
        made.record("inat19", "random", seed, {"top1": 60.0})
    made.record("pretrain", "crossmae", 0, {"loss": 0.4}, minutes=99.0, recipe_hash="other")  # made none of them

    table = filled("demo", made)
    images, minutes_cell = (cell_of(table, "CrossMAE", name) for name in COST)
    assert float(images["mean"]) == pytest.approx(2000 * 128 / 1e6)
    assert float(minutes_cell["mean"]) == pytest.approx(4)
    assert float(minutes_cell["standard_error"]) == pytest.approx(1)
    assert "measured on test CPU" in minutes_cell["note"]
    assert "0.26" in terminal(table)
    assert "4.0 ± 1.0" in terminal(table)
    row = next(line for line in terminal(table).splitlines() if line.startswith("random"))
    assert row.split()[-2:] == [BLANK, BLANK]


def test_a_pretraining_that_no_other_run_names_costs_no_row_anything(made: RunFolder) -> None:
    made.pretrained("mae", 0, 3.0)
    made.record("inat19", "mae", 0, {"top1": 70.0})  # of a checkpoint of this name from elsewhere
    row = next(line for line in terminal(filled("demo", made)).splitlines() if line.startswith("MAE"))
    assert row.split()[-2:] == [BLANK, BLANK]


def test_a_record_of_pretraining_alone_fills_no_table(made: RunFolder) -> None:
    made.pretrained("mae", 0, 3.0)
    assert tables_with_results(made.runs()) == []


def test_all_tables_in_all_forms(hand_checked: RunFolder, tmp_path: Path) -> None:
    names = table_names()
    assert set(PAPER) <= set(names)
    write_tables(hand_checked.runs(), names, tmp_path / "tables")
    files = {path.name for path in (tmp_path / "tables").iterdir()}
    assert files == {f"{name}{suffix}" for name in names for suffix in (".md", ".csv", ".tex", ".html")}


def test_files_that_cannot_be_trusted_are_named_under_the_tables(hand_checked: RunFolder, tmp_path: Path) -> None:
    path = hand_checked.folder("imagenet_finetune", "mae", 0) / "record.json"
    path.write_text("{")
    text = write_tables(hand_checked.runs(), ["demo"], tmp_path)
    assert f"warning: {path}: truncated" in text
    assert cell_of(filled("demo", hand_checked), "MAE", "ImageNet-style fine-tuning top-1")["status"] == "failed"


def test_a_table_of_ones_own_is_one_yaml(made: RunFolder, tmp_path: Path) -> None:
    made.record("inat19", "mine", 0, {"top1": 70.25})
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: Mine\nrows: [{backbone: '*'}]\ncolumns: [{name: top-1, task: inat19, metric: top1, decimals: 2}]\n"
    )
    assert "70.25" in write_tables(made.runs(), [str(path)], tmp_path / "tables")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("title: x\nrows: []\n", "lacks columns"),
        ("title: x\nrows: [{nam: a}]\ncolumns: []\n", "unknown rows.0.nam"),
        ("title: [", r"x\.yaml"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=complaint) as caught:
        load_table(str(path))
    assert "\n" not in str(caught.value)


def test_a_row_that_was_never_published_is_an_error(tmp_path: Path, made: RunFolder) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("title: x\npublished: crossmae_table17\nrows: [{name: MAEE}]\ncolumns: [{name: mIoU}]\n")
    with pytest.raises(UserError, match="MAEE"):
        fill_tables([str(path)], made.runs())


def test_the_overview_shows_own_tasks_and_only_columns_that_have_runs(made: RunFolder) -> None:
    made.record("my_task", "mine", 0, {"accuracy": 12.5, "other": 1.0})
    made.record("inat19", "mine", 0, {"top1": 70.0})
    assert [column.name for column in filled("overview", made).columns] == [
        "iNaturalist 2019 top-1",
        "my_task accuracy",
    ]
    assert "overview" in tables_with_results(made.runs())
    assert "12.5" in terminal(filled("overview", made))


def test_names_of_tasks_are_not_broken(made: RunFolder) -> None:
    made.record("my_own_flowers_frozen_linear", "mine", 0, {"top1": 70.0})
    assert "my_own_flowers_frozen_linear" in terminal(filled("overview", made))


def test_the_overview_misses_nothing_that_nobody_planned(made: RunFolder) -> None:
    made.record("pets_knn", "a", 0, {"top1": 50.0})
    made.record("nuts_vitdet", "b", 0, {"box_ap": 40.0, "mask_ap": 35.0})
    assert "missing" not in terminal(filled("overview", made))
    made.failure("birds_knn", "b", 0, "no space left")
    table = filled("overview", made)
    names = ["birds_knn result", "nuts_vitdet box_ap", "nuts_vitdet mask_ap", "pets_knn top1"]
    assert [column.name for column in table.columns] == names
    text = terminal(table)
    assert "failed" in text
    assert "missing" not in text


def test_a_tie_of_all_is_no_best(made: RunFolder) -> None:
    for name in ("a", "b"):
        made.record("inat19", name, 0, {"top1": 0.0})
    assert "**" not in markdown(filled("overview", made))


def test_names_cannot_act_in_any_form(made: RunFolder, tmp_path: Path) -> None:
    made.record("inat19", "=cmd|' /C calc'!A0\x1b]0;x\x07", 0, {"top1": 70.0})
    made.record("inat19", "![x](https://example.org/x.png)", 0, {"top1": -1.0})
    text = write_tables(made.runs(), ["overview"], tmp_path)
    assert not {"\x1b", "\x07"} & set(text)
    rows = list(csv.DictReader((tmp_path / "overview.csv").open()))
    assert sorted(row["row"][:6] for row in rows) == ["![x](h", "'=cmd|"]
    assert sorted(float(row["mean"]) for row in rows) == [-1.0, 70.0]
    assert "![" not in (tmp_path / "overview.md").read_text()
    assert "](https://example" not in (tmp_path / "overview.md").read_text()


def test_the_name_of_a_tables_file_cannot_break_the_page(made: RunFolder, tmp_path: Path) -> None:
    made.record("inat19", "mine", 0, {"top1": 70.0})
    path = tmp_path / 'x"><script>alert(1).yaml'
    path.write_text("title: x\nrows: [{backbone: '*'}]\ncolumns: [{name: top-1, task: inat19, metric: top1}]\n")
    write_tables(made.runs(), [str(path)], tmp_path / "tables")
    (page,) = (tmp_path / "tables").glob("*.html")
    assert "<script" not in page.read_text()
