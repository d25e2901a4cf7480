"""The linear probe's crop is the one that MAE's released code draws."""

import math
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from transfer.classification.transforms import SingleTryCrop

DRAWS = 20_000
SIZE = WIDTH, HEIGHT = 500, 375
"""The usual ImageNet picture."""
SCALE = (0.08, 1.0)

Sides = NDArray[np.float64]
"""(N, 2) widths and heights of boxes."""

EVENTS: dict[str, Callable[[Sides], NDArray[np.bool_]]] = {
    "upright": lambda sides: sides[:, 0] < sides[:, 1],
    "cut to the image": lambda sides: (sides == SIZE).any(axis=1),
    "below a quarter of the area": lambda sides: sides.prod(axis=1) < WIDTH * HEIGHT / 4,
    "below half of the area": lambda sides: sides.prod(axis=1) < WIDTH * HEIGHT / 2,
    "small and upright": lambda sides: (sides[:, 0] < sides[:, 1]) & (sides.prod(axis=1) < WIDTH * HEIGHT / 4),
}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    before = random.getstate()
    random.seed(0)
    yield
    random.setstate(before)


def defined(count: int) -> Sides:
    """By the definition: uniform area, uniform logarithm of the aspect ratio, cut to the image."""
    generator = np.random.default_rng(1)
    area = generator.uniform(*SCALE, count) * WIDTH * HEIGHT
    aspect = np.exp(generator.uniform(math.log(3 / 4), math.log(4 / 3), count))
    return np.minimum(np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)], axis=1).round(), SIZE)


def test_boxes_are_distributed_as_the_definition_says() -> None:
    crop = SingleTryCrop(8, SCALE)
    boxes = np.array([crop.box(WIDTH, HEIGHT) for _ in range(DRAWS)], dtype=float)
    assert boxes[:, :2].min() >= 0
    assert tuple(boxes[:, 2:].max(axis=0)) == SIZE
    ours, expected = boxes[:, 2:] - boxes[:, :2], defined(10 * DRAWS)
    for name, event in EVENTS.items():
        share, its = event(ours).mean(), event(expected).mean()
        assert share == pytest.approx(its, abs=4.5 * math.sqrt(0.25 / DRAWS)), name


def test_a_square_picture_is_cropped_upright_as_often_as_lying() -> None:
    boxes = np.array([SingleTryCrop(8, (0.1, 0.5)).box(1000, 1000) for _ in range(DRAWS)])
    widths, heights = (boxes[:, 2:] - boxes[:, :2]).T
    assert (widths < heights).mean() == pytest.approx(0.5, abs=0.016)


@pytest.mark.parametrize("seed", range(5))
def test_the_box_is_cut_out_before_it_is_resized(seed: int) -> None:
    """No pixel from outside the box enters, as a filter that reaches beyond it would let them."""
    noise = np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    crop = SingleTryCrop(64, SCALE)
    random.seed(seed)
    left, top, right, bottom = crop.box(WIDTH, HEIGHT)
    random.seed(seed)
    ours = crop(Image.fromarray(noise))
    alone = Image.fromarray(noise[top:bottom, left:right]).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.array_equal(np.asarray(ours), np.asarray(alone))
