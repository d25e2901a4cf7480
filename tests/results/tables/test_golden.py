"""Whole tables as they are written, against files that were read and approved.

After a wanted change: ``UPDATE_GOLDEN=1 pytest tests/results/tables/test_golden.py``, then read the difference in git.
"""

import os
from pathlib import Path

import pytest

from results.tables.write import write_tables
from tests.support.runs import RunFolder

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("suffix", [".md", ".csv", ".tex", ".html"])
@pytest.mark.parametrize("name", ["demo", "table2", "table18"])
def test_a_written_table_equals_its_golden_file(
    hand_checked: RunFolder, tmp_path: Path, name: str, suffix: str
) -> None:
    for seed, ap in enumerate((51.0, 51.6, 51.3)):
        hand_checked.record("coco_vitdet_norelpos", "mae_vit_b16", seed, {"box_ap": ap, "mask_ap": ap - 6})
    hand_checked.record("coco_vitdet_norelpos", "mine_vit_l16", 0, {"box_ap": 55.0, "mask_ap": 49.0}, deviations=())
    hand_checked.record("speed", "mae_vit_b16", 0, {"minutes_per_epoch": 12.5, "memory_mb": 7000.0}, deviations=())
    for seed, minutes in enumerate((2.0, 2.5, 3.0)):
        made_by = hand_checked.pretrained("mae_vit_b16", seed, minutes)
        hand_checked.record("psnr", "mae_vit_b16", seed, {"psnr": 20.0}, pretraining_run=made_by)
        made_by = hand_checked.pretrained("crossmae", seed, minutes / 2)
        hand_checked.record("attention", "crossmae", seed, {"to_visible_1": 0.2}, pretraining_run=made_by)
    write_tables(hand_checked.runs(), [name], tmp_path)
    # The page around an HTML table is a matter of taste.
    written = (tmp_path / f"{name}{suffix}").read_text().partition("<main>\n")
    text, golden = written[2] or written[0], GOLDEN / f"{name}{suffix}"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()
