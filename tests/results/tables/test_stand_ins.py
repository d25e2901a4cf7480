"""Backbones of a smaller scale in the tables of the paper."""

from pathlib import Path

from results.tables.fill import CellState, RunIndex
from results.tables.spec import crossing, load_table
from results.tables.table import Table, TableEntry, fill_table
from tests.support.runs import RunFolder
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import load_suite
from transfer.harness.plan.tasks import load_specs


def filled(name: str, made: RunFolder) -> Table:
    return fill_table(load_table(name), RunIndex.of(made.runs()))


def entry(table: Table, row: str) -> TableEntry:
    return next(shown.entries[0] for shown in table.rows if shown.name == row)


def test_they_stand_where_the_paper_s_own_were_not_run(tmp_path: Path) -> None:
    made = RunFolder(tmp_path)
    made.record("imagenet_finetune", "mae_mini", 0, {"top1": 61.0})
    made.record("imagenet_finetune", "crossmae75_400ep", 0, {"top1": 83.0})
    table = filled("table3a", made)
    assert entry(table, "MAE").ours.mean == 61.0
    assert entry(table, "CrossMAE").ours.mean == 83.0
    assert "Our numbers: the suite mini" in table.caption


def test_they_are_not_set_against_published_numbers(tmp_path: Path) -> None:
    made = RunFolder(tmp_path)
    made.record("imagenet_finetune", "mae_mini", 0, {"top1": 61.0})
    made.record("imagenet_finetune", "crossmae75_400ep", 0, {"top1": 83.0})
    table = filled("table3a", made)
    differences = {row.name: row.entries[0].difference(table.columns[0]) for row in table.rows}
    assert differences["MAE"] is None
    assert differences["CrossMAE"] is not None


def test_the_paper_s_own_is_shown_where_it_was_run(tmp_path: Path) -> None:
    made = RunFolder(tmp_path)
    made.record("imagenet_finetune", "mae_mini", 0, {"top1": 61.0})
    made.record("imagenet_finetune", "mae_400ep", 0, {"top1": 83.0})
    table = filled("table3a", made)
    assert entry(table, "MAE").ours.mean == 83.0
    assert table.caption == load_table("table3a").caption


def test_suite_mini_leaves_no_cell_of_vit_b_empty(tmp_path: Path) -> None:
    """Synthetic records of each of its runs: what is planned fills the tables."""
    suite, specs = load_suite("mini"), load_specs()
    made = RunFolder(tmp_path / "out")
    for run in make_plan(suite, specs, tmp_path / "plan"):
        metrics = {f"to_{kind}_{block}": 0.1 for kind in ("visible", "masked") for block in _BLOCKS}
        metrics |= dict.fromkeys(("minutes_per_epoch", "memory_mb"), 1.0)
        made.record(run.task.name, run.backbone, run.seed, metrics | dict.fromkeys(run.task.metrics, 1.0))
    index = RunIndex.of(made.runs())
    for name in suite.tables:
        spec = load_table(name)
        filled_rows = fill_table(spec, index).rows
        for line, row in zip(spec.rows, filled_rows, strict=False):
            for column, cell in zip(spec.columns, row.entries, strict=True):
                asked = crossing(line, column)
                other_size = {**column.values, **line.values}.get("arch", "vit_b16") != "vit_b16"
                other_seed = asked.seed not in (None, 0)
                if cell.ours.state is CellState.MISSING:
                    assert other_size or other_seed, f"{name}: {row.name}, {column.name}"


_BLOCKS = [*(f"block{number}" for number in range(1, 9)), "sum"]
