"""Folders of synthetic runs."""

from pathlib import Path

import pytest

from tests.support.runs import RunFolder


@pytest.fixture
def made(tmp_path: Path) -> RunFolder:
    """An empty folder of runs."""
    return RunFolder(tmp_path / "runs")


@pytest.fixture
def hand_checked(made: RunFolder) -> RunFolder:
    """Three seeds whose means are known by hand; one cell that never ran, one that failed, one more deviation."""
    for seed, top1 in enumerate((60.0, 61.0, 62.0)):
        made.record("imagenet_finetune", "random", seed, {"top1": top1, "top5": 90.0})
        made.record("imagenet_finetune", "mae", seed, {"top1": top1 + 5, "top5": 92.0})
        made.record("imagenet_finetune", "crossmae", seed, {"top1": top1 + 8 + seed, "top5": 93.0})
        made.record("coco_vitdet", "random", seed, {"box_ap": 20.0, "mask_ap": 15.0})
        made.record(
            "ade20k_upernet",
            "crossmae",
            seed,
            {"miou": 40.0 - seed},
            deviations=["generated demo data", "BN for SyncBN"],
        )
    for seed in (0, 2):
        made.record("coco_vitdet", "crossmae", seed, {"box_ap": 28.0 + seed, "mask_ap": 22.0})
    made.failure("coco_vitdet", "crossmae", 1, "instances_train2017.json is truncated; restore the file")
    return made
