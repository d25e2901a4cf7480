"""COCO's box and mask AP of a detector, their names in a result, and pictures of what it finds.

AP comes from hotcoco, which equals pycocotools and takes a small part of its time.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from detectron2.utils.visualizer import Visualizer
from hotcoco import COCO, COCOeval
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from crossmae.data.decode import read_rgb
from detection.run import CocoData, VitDetRun
from transfer.task import Context

Results = dict[str, dict[str, float]]
"""By kind (``bbox``, ``segm``): AP, AP50, AP75, APs, APm, APl, and AP-CLASS of every class; nan where there is none."""

NAMES = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium", "APl": "ap_large"}
"""The first of COCO's twelve numbers, in their order, and what they are called in a result."""

KINDS = {"bbox": "box", "segm": "mask"}

GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}
"""What of a detection counts. Without its box, a mask's size is that of the mask."""

RESULTS = "coco_instances_results.json"
"""All detections in COCO's format, under the name that detectron2's COCOEvaluator gives them."""

LEAST_SIDE = 256
"""Small images are enlarged to this many pixels, so that labels can be read."""


def score(model: nn.Module, data: CocoData, run: VitDetRun) -> dict[str, float]:
    """Evaluates ``model`` and leaves pictures and the AP of every class in the run's ``artifacts``.

    Returns:
        On the main process what ``metrics_of`` says, nothing on the others.
    """
    folder, name = run.context.folder / "artifacts", data.loaders.test.dataset.names
    folder.mkdir(exist_ok=True)
    loader = instantiate(data.loaders.test)
    results = evaluate(model, loader, name, folder, data.kinds)
    if not run.world.is_main:
        return {}
    write_classes(results, data, run.context)
    drawn = range(min(run.execution.drawn_images, len(data.val)))
    samples, truths = [loader.dataset[i] for i in drawn], [data.val[i] for i in drawn]
    if drawn:
        draw_predictions(model, samples, truths, name, folder / "detections.png")
        run.context.artifact("detections", folder / "detections.png")
    return metrics_of(results, data.kinds)


def evaluate(model: nn.Module, loader: Any, dataset: str, folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> Results:
    """AP of ``model`` over ``loader``, every image once over all processes; detections go to ``folder``.

    Returns:
        On the main process the results by kind, nothing on the others.
    """
    model.eval()
    return dict(inference_on_dataset(model, loader, CocoEvaluator(dataset, folder, kinds)))


class CocoEvaluator(DatasetEvaluator):
    """Takes the place of detectron2's ``COCOEvaluator``, whose numbers it gives.

    Args:
        dataset: registered name of a data set in COCO's format.
        folder: gets ``RESULTS``.
        kinds: of ``KINDS``, those that are judged.
    """

    def __init__(self, dataset: str, folder: Path, kinds: Sequence[str] = tuple(KINDS)) -> None:
        self.metadata = MetadataCatalog.get(dataset)
        self.folder = folder
        self.kinds = kinds
        self.detections: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forgets all detections."""
        self.detections = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Takes in the detections of a batch."""
        for image, output in zip(inputs, outputs, strict=True):
            self.detections += instances_to_coco_json(output["instances"].to("cpu"), image["image_id"])

    def evaluate(self) -> Results:
        """The results of all processes' detections, on the main process; empty on the others, or without detections."""
        detections = list(itertools.chain(*comm.gather(self.detections)))
        if not detections:
            return {}
        ids = {index: number for number, index in self.metadata.thing_dataset_id_to_contiguous_id.items()}
        for detection in detections:
            detection["category_id"] = ids[detection["category_id"]]
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / RESULTS).write_text(json.dumps(detections))
        truth = COCO(self.metadata.json_file)
        return {kind: judge(truth, detections, kind, self.metadata.thing_classes) for kind in self.kinds}


def judge(truth: COCO, detections: list[dict[str, Any]], kind: str, classes: list[str]) -> dict[str, float]:
    """The results of one kind for detections in COCO's format; ``classes`` by ascending category id."""
    kept = ("image_id", "category_id", "score", GEOMETRY[kind])
    judged = truth.load_res([{key: detection[key] for key in kept} for detection in detections])
    evaluation = COCOeval(truth, judged, kind)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    results = {name: _percent(value) for name, value in zip(NAMES, evaluation.stats, strict=False)}
    assert evaluation.eval is not None
    # By IoU threshold, recall, class, size (the first: all), and number of detections (the last: 100).
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    by_class = {f"AP-{name}": _mean(precision[:, :, index]) for index, name in enumerate(classes)}
    return results | by_class


def metrics_of(results: Mapping[str, Mapping[str, float]], kinds: Sequence[str] = tuple(KINDS)) -> dict[str, float]:
    """``box_ap``, ``box_ap50``, ..., ``mask_ap_large`` in percent.

    A size that the data set has no object of has no AP and is left out; a model that found nothing has an AP of 0.
    """
    metrics = {}
    for kind in kinds:
        prefix = KINDS[kind]
        values = results.get(kind, {"AP": 0.0, "AP50": 0.0, "AP75": 0.0})
        nothing_found = math.isnan(values["AP"])
        for name, short in NAMES.items():
            value = values.get(name, math.nan)
            if name in ("AP", "AP50", "AP75") and nothing_found:
                value = 0.0
            if not math.isnan(value):
                metrics[f"{prefix}_{short}"] = value
    return metrics


def write_classes(results: Mapping[str, Mapping[str, float]], data: CocoData, context: Context) -> None:
    """Leaves the AP of every class that has a validation object; 0 if nothing at all was found."""
    names = MetadataCatalog.get(data.loaders.test.dataset.names).thing_classes
    present = ({thing["category_id"] for thing in image["annotations"]} for image in data.val)
    images = Counter(label for labels in present for label in labels)
    counts = [images[label] for label in range(len(names))]
    nothing = [0.0 if count else math.nan for count in counts]
    values = {
        f"{KINDS[kind]}_ap": [
            results.get(kind, {}).get(f"AP-{n}", zero) for n, zero in zip(names, nothing, strict=True)
        ]
        for kind in data.kinds
    }
    context.classes(names, counts, values)


def draw_predictions(
    model: nn.Module, samples: Iterable[dict[str, Any]], truths: Iterable[dict[str, Any]], dataset: str, path: Path
) -> None:
    """Writes one picture, a row per image: the ground truth on the left, predictions of a score above .5 on the right.

    Args:
        model: in evaluation mode.
        samples: mapped images of the test loader, at least one.
        truths: the same images in detectron2's data set format.
        dataset: their registered name.
    """
    rows = []
    for sample, truth in zip(samples, truths, strict=True):
        pixels = np.asarray(read_rgb(Path(truth["file_name"]), upright=False))
        with torch.no_grad():
            instances = model([sample])[0]["instances"].to("cpu")
        left = _canvas(pixels, dataset).draw_dataset_dict(truth)
        right = _canvas(pixels, dataset).draw_instance_predictions(instances[instances.scores > 0.5])
        rows.append(np.concatenate([left.get_image(), right.get_image()], axis=1))
    Image.fromarray(_stack(rows)).save(path)


def _percent(value: float) -> float:
    return 100 * value if value >= 0 else math.nan


def _mean(precision: Any) -> float:
    defined = precision[precision > -1]
    return 100 * float(defined.mean()) if defined.size else math.nan


def _canvas(pixels: NDArray[np.uint8], dataset: str) -> Visualizer:
    scale = max(1.0, LEAST_SIDE / min(pixels.shape[:2]))
    return Visualizer(pixels, MetadataCatalog.get(dataset), scale=scale)


def _stack(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)
