"""Pictures of predictions beside the ground truth."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.utils.visualizer import Visualizer
from numpy.typing import NDArray
from PIL import Image
from torch import nn

LEAST_SIDE = 256
"""Small images are enlarged to this many pixels, so that labels can be read."""


def draw_predictions(
    model: nn.Module, samples: Iterable[dict[str, Any]], truths: Iterable[dict[str, Any]], dataset: str, path: Path
) -> None:
    """Writes one picture, a row per image: the ground truth on the left, predictions of a score above .5 on the right.

    Args:
        model: in evaluation mode.
        samples: mapped images of the test loader.
        truths: the same images in detectron2's data set format.
        dataset: their registered name.
    """
    rows = []
    for sample, truth in zip(samples, truths, strict=True):
        pixels = np.asarray(Image.open(truth["file_name"]).convert("RGB"))
        with torch.no_grad():
            found = model([sample])[0]["instances"].to("cpu")
        left = _canvas(pixels, dataset).draw_dataset_dict(truth)
        right = _canvas(pixels, dataset).draw_instance_predictions(found[found.scores > 0.5])
        rows.append(np.concatenate([left.get_image(), right.get_image()], axis=1))
    Image.fromarray(_stack(rows)).save(path)


def _canvas(pixels: NDArray[np.uint8], dataset: str) -> Visualizer:
    scale = max(1.0, LEAST_SIDE / min(pixels.shape[:2]))
    return Visualizer(pixels, MetadataCatalog.get(dataset), scale=scale)


def _stack(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)
