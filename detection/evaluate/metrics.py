"""Box and mask AP by detectron2's COCOEvaluator over pycocotools."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.evaluation import COCOEvaluator, inference_on_dataset
from torch import nn

NAMES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium", "APl": "ap_large"}
KINDS = {"bbox": "box", "segm": "mask"}


def evaluate(model: nn.Module, loader: Any, dataset: str, folder: Path) -> dict[str, dict[str, float]]:
    """AP of ``model`` over ``loader``, every image once over all processes; predictions go to ``folder``.

    Returns:
        COCOEvaluator's results by kind (``bbox``, ``segm``) on the main process, nothing on the others.
    """
    evaluator = COCOEvaluator(dataset, output_dir=str(folder), use_fast_impl=False)
    model.eval()
    results = inference_on_dataset(model, loader, evaluator)
    # The same predictions once more, pickled.
    (folder / "instances_predictions.pth").unlink(missing_ok=True)
    return dict(results or {})


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
