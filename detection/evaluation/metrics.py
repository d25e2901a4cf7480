"""A detector's box and mask AP, and their names in a result."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.evaluation import inference_on_dataset
from torch import nn

from detection.evaluation.coco import CocoEvaluator, Results

NAMES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium", "APl": "ap_large"}
KINDS = {"bbox": "box", "segm": "mask"}


def evaluate(model: nn.Module, loader: Any, dataset: str, folder: Path) -> Results:
    """AP of ``model`` over ``loader``, every image once over all processes; detections go to ``folder``.

    Returns:
        On the main process the results by kind, nothing on the others.
    """
    model.eval()
    return dict(inference_on_dataset(model, loader, CocoEvaluator(dataset, folder)))


def metrics_of(results: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """``box_ap``, ``box_ap50``, ..., ``mask_ap_large`` in percent.

    A size that the data set has no object of has no AP and is left out; a model that found nothing has an AP of 0.
    """
    metrics = {}
    for kind, prefix in KINDS.items():
        values = results.get(kind, {"AP": 0.0, "AP50": 0.0, "AP75": 0.0})
        nothing_found = math.isnan(values["AP"])
        for name, short in NAMES.items():
            value = values.get(name, math.nan)
            if name in ("AP", "AP50", "AP75") and nothing_found:
                value = 0.0
            if not math.isnan(value):
                metrics[f"{prefix}_{short}"] = value
    return metrics


def write_classes(results: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Writes the AP of every class as JSON: ``{"box": {"person": ...}, "mask": {...}}``."""
    classes = {
        prefix: {name.removeprefix("AP-"): ap for name, ap in results.get(kind, {}).items() if name.startswith("AP-")}
        for kind, prefix in KINDS.items()
    }
    path.write_text(json.dumps(classes, indent=1).replace("NaN", "null"))
