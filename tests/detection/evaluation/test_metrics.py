"""AP is COCO's: perfect answers score 100, blurred ones what pycocotools says, on any number of processes."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from detectron2.data import MetadataCatalog
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluation.metrics import metrics_of, write_classes
from tests.support import oracle
from transfer.task import Context


def test_ground_truth_scores_100(coco: Path, tmp_path: Path) -> None:
    metrics = metrics_of(oracle.measure(coco, tmp_path, blur=0.0))
    assert {"box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap_small"} <= set(metrics)
    assert metrics == {name: pytest.approx(100.0, abs=1e-9) for name in metrics}


def test_equals_pycocotools_on_the_saved_predictions(coco: Path, tmp_path: Path) -> None:
    results = oracle.measure(coco, tmp_path, blur=2.0)
    metrics = metrics_of(results)
    truth = COCO(str(coco / "annotations" / "instances_val2017.json"))
    for kind, prefix in (("bbox", "box"), ("segm", "mask")):
        predictions = json.loads((tmp_path / "coco_instances_results.json").read_text())
        if kind == "segm":
            # Sizes of masks are measured on masks.
            predictions = [{k: v for k, v in one.items() if k != "bbox"} for one in predictions]
        judge = COCOeval(truth, truth.loadRes(predictions), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
        assert 5 < metrics[f"{prefix}_ap"] < 95
        for position, name in enumerate(("ap", "ap50", "ap75", "ap_small", "ap_medium")):
            assert metrics[f"{prefix}_{name}"] == pytest.approx(100 * judge.stats[position], abs=1e-6)
        assert f"{prefix}_ap_large" not in metrics


@pytest.mark.slow
def test_two_processes_count_every_image_once(coco: Path, tmp_path: Path) -> None:
    alone = oracle.measure(coco, tmp_path / "alone", blur=2.0)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", oracle.__file__]
    arguments = [str(coco), str(tmp_path / "both"), str(tmp_path / "both.json")]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    together = json.loads((tmp_path / "both.json").read_text())
    for kind, values in alone.items():
        assert together[kind] == pytest.approx(values, abs=1e-6, nan_ok=True)
    count = len(json.loads((tmp_path / "both" / "coco_instances_results.json").read_text()))
    assert count == len(json.loads((tmp_path / "alone" / "coco_instances_results.json").read_text()))


def test_finding_nothing_is_an_ap_of_0() -> None:
    nothing = dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm", "APl"), float("nan"))
    assert metrics_of({"bbox": nothing, "segm": nothing})["box_ap"] == 0.0
    assert metrics_of({})["mask_ap"] == 0.0


def test_classes_with_objects_are_written_by_name(tmp_path: Path) -> None:
    MetadataCatalog.get("garments").thing_classes = ["dress", "bag", "shoe"]
    things = [{"category_id": 0}, {"category_id": 0}]
    data: Any = SimpleNamespace(
        loaders=SimpleNamespace(test=SimpleNamespace(dataset=SimpleNamespace(names="garments"))),
        val=[{"annotations": things}, {"annotations": [*things, {"category_id": 2}]}],
        kinds=("bbox",),
    )
    context = Context(tmp_path, None, seed=0)
    write_classes({"bbox": {"AP-dress": 12.512, "AP-bag": float("nan"), "AP-shoe": 3.0}}, data, context)
    assert (tmp_path / "classes.csv").read_text() == "class,images,box_ap\ndress,2,12.51\nshoe,1,3.0\n"
    write_classes({}, data, context)
    assert (tmp_path / context.artifacts["classes"]).read_text() == "class,images,box_ap\ndress,2,0.0\nshoe,1,0.0\n"
