"""COCO's box and mask AP through hotcoco, which equals pycocotools and takes a small part of its time."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from hotcoco import COCO, COCOeval

Results = dict[str, dict[str, float]]
"""By kind (``bbox``, ``segm``): AP, AP50, AP75, APs, APm, APl, and AP-CLASS of every class; nan where there is none."""

METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
"""The first of COCO's twelve numbers, in their order."""

RESULTS = "coco_instances_results.json"
"""All detections in COCO's format, under the name that detectron2's COCOEvaluator gives them."""

GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}
"""What of a detection counts. Without its box, a mask's size is that of the mask."""


class CocoEvaluator(DatasetEvaluator):
    """Takes the place of detectron2's ``COCOEvaluator``, whose numbers it gives.

    Args:
        dataset: registered name of a data set in COCO's format.
        folder: gets ``RESULTS``.
    """

    def __init__(self, dataset: str, folder: Path) -> None:
        self.metadata = MetadataCatalog.get(dataset)
        self.folder = folder
        self.found: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forgets all detections."""
        self.found = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Takes in the detections of a batch."""
        for image, output in zip(inputs, outputs, strict=True):
            self.found += instances_to_coco_json(output["instances"].to("cpu"), image["image_id"])

    def evaluate(self) -> Results:
        """The results of all processes' detections, on the main process; empty on the others, or without detections."""
        found = list(itertools.chain(*comm.gather(self.found)))
        if not found:
            return {}
        ids = {index: number for number, index in self.metadata.thing_dataset_id_to_contiguous_id.items()}
        for one in found:
            one["category_id"] = ids[one["category_id"]]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / RESULTS).write_text(json.dumps(found))
        truth = COCO(self.metadata.json_file)
        return {kind: judge(truth, found, kind, self.metadata.thing_classes) for kind in GEOMETRY}


def judge(truth: COCO, found: list[dict[str, Any]], kind: str, classes: list[str]) -> dict[str, float]:
    """The results of one kind for detections in COCO's format; ``classes`` by ascending category id."""
    kept = ("image_id", "category_id", "score", GEOMETRY[kind])
    evaluation = COCOeval(truth, truth.load_res([{key: one[key] for key in kept} for one in found]), kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    results = {name: _percent(value) for name, value in zip(METRICS, evaluation.stats, strict=False)}
    assert evaluation.eval is not None
    # By IoU threshold, recall, class, size (the first: all), and number of detections (the last: 100).
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    by_class = {f"AP-{name}": _mean(precision[:, :, index]) for index, name in enumerate(classes)}
    return results | by_class


def _percent(value: float) -> float:
    return 100 * value if value >= 0 else math.nan


def _mean(precision: Any) -> float:
    known = precision[precision > -1]
    return 100 * float(known.mean()) if known.size else math.nan
