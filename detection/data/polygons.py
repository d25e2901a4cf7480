"""Masks as polygons and run lengths, as COCO's annotations have them."""

from itertools import groupby
from typing import Any

import numpy as np
import shapely  # type: ignore[import-untyped]
from numpy.typing import NDArray


def mask_polygons(mask: NDArray[np.bool_]) -> list[list[float]]:
    """Outlines of ``mask`` (H, W) along the pixels' edges, a flat list ``x, y, x, y, ...`` per part. Holes are filled.

    Rasterised by pycocotools they give the mask again, but for holes.
    """
    runs = [_row_runs(row, y) for y, row in enumerate(mask) if row.any()]
    shape = shapely.union_all([box for boxes in runs for box in boxes])
    parts = shape.geoms if hasattr(shape, "geoms") else [shape]
    return [np.asarray(part.simplify(0).exterior.coords)[:-1].ravel().tolist() for part in parts]


def mask_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """COCO's uncompressed run lengths of ``mask`` (H, W), column by column, beginning with background."""
    runs = [(bool(value), len(list(pixels))) for value, pixels in groupby(mask.ravel(order="F").tolist())]
    counts = [length for _, length in runs]
    return {"size": list(mask.shape), "counts": [0, *counts] if runs[0][0] else counts}


def _row_runs(row: NDArray[np.bool_], y: int) -> list[Any]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]]))).reshape(-1, 2)
    return [shapely.box(float(start), y, float(end), y + 1) for start, end in edges]
