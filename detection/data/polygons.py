"""Masks as polygons and run lengths, as COCO's annotations have them."""

from itertools import groupby
from typing import Any

import numpy as np
import shapely  # type: ignore[import-untyped]
from numpy.typing import NDArray


def mask_polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Outlines of ``mask`` (H, W) along the pixels' edges, a flat list ``x, y, x, y, ...`` per part.

    COCO's polygons have no holes, so a part with a hole is cut in two. Rasterised by pycocotools they give the mask
    again.
    """
    runs = [_row_runs(row, y) for y, row in enumerate(mask) if row.any()]
    shape = shapely.union_all([box for boxes in runs for box in boxes])
    return [np.asarray(part.simplify(0).exterior.coords)[:-1].ravel().tolist() for part in _without_holes(shape)]


def mask_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of ``mask`` (H, W), column by column, beginning with background."""
    runs = [(bool(value), len(list(pixels))) for value, pixels in groupby(mask.ravel(order="F").tolist())]
    counts = [length for _, length in runs]
    return {"size": list(mask.shape), "counts": [0, *counts] if runs[0][0] else counts}


def _without_holes(shape: Any) -> list[Any]:
    if hasattr(shape, "geoms"):
        return [piece for part in shape.geoms if part.area for piece in _without_holes(part)]
    if not shape.interiors:
        return [shape]
    left, low, right, high = shape.bounds
    # A cut along the hole's left edge makes it a notch of the right half.
    cut = shape.interiors[0].bounds[0]
    halves = shapely.box(left, low, cut, high), shapely.box(cut, low, right, high)
    return [piece for half in halves for piece in _without_holes(shape.intersection(half))]


def _row_runs(row: NDArray[np.bool_], y: int) -> list[Any]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))).reshape(-1, 2)
    return [shapely.box(float(start), y, float(end), y + 1) for start, end in edges]
