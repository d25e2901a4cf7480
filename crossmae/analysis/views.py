"""Images as the analyses see them: whole, in a fixed order, each with its own fixed mask."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import Images, Source
from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.samples import Views
from crossmae.errors import UserError
from crossmae.model.config import MAEConfig
from crossmae.model.masking import random_ids
from crossmae.pretraining.workload import MEAN, STD, normalize

_CROP = 224 / 256
"""Share of the shorter side that the centre crop keeps, as in MAE's evaluation."""


def open_validation(path: Path) -> Images:
    """The images at ``path``, or those of its ``val`` folder if it has one; a cache is as good as what it was made of.

    Raises:
        UserError: nothing there, or no image.
    """
    return open_images(path, split="val")


def pick(images: Images, count: int | None) -> list[int]:
    """Indices of ``count`` images spread evenly over all; all of them if None."""
    count = len(images) if count is None else min(count, len(images))
    return [index * len(images) // count for index in range(count)]


def batches(
    images: Images, indices: Sequence[int], config: MAEConfig, batch: int, seed: int, device: str = "cpu"
) -> Iterator[tuple[Tensor, Tensor]]:
    """The images ``indices`` in batches.

    Yields:
        Normalised images (n, 3, image_size, image_size) and the noise of their masks (n, num_patches); both depend on
        the image and ``seed`` only.

    Raises:
        UserError: an image cannot be read.
    """
    samples = Views(config.image_size, config.num_patches, seed)
    for start in range(0, len(indices), batch):
        batched = indices[start : start + batch]
        pixels = torch.stack([_view(images.read(index), config.image_size) for index in batched])
        keys = [SampleKey(0, index) for index in batched]
        yield normalize(pixels.to(device)), samples.noise(keys).to(device)


def all_masked(noise: Tensor, config: MAEConfig) -> tuple[Tensor, Tensor]:
    """Visible patches, and every other one to be predicted: (N, num_visible) and (N, L - num_visible)."""
    return random_ids(noise, replace(config, prediction_ratio=config.mask_ratio))


def to_unit_range(images: Tensor) -> Tensor:
    """Normalised images (..., 3, H, W) to pixel values of which 0 is black and 1 white; not clipped."""
    mean, std = (torch.tensor(values, device=images.device)[:, None, None] / 255 for values in (MEAN, STD))
    return images * std + mean


def _view(source: Source, size: int) -> Tensor:
    try:
        image = read_rgb(source, upright=False)  # as the classification tasks and the released code
    except UnreadableImage as error:
        raise UserError(f"{source!s:.200} cannot be read ({error})", "remove it") from error
    if image.size != (size, size):
        image = _centre(image, size)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _centre(image: Image.Image, size: int) -> Image.Image:
    shorter = round(size / _CROP)
    scale = shorter / min(image.size)
    resized = image.resize(
        (max(size, round(image.width * scale)), max(size, round(image.height * scale))), Image.Resampling.BICUBIC
    )
    left, top = (resized.width - size) // 2, (resized.height - size) // 2
    return resized.crop((left, top, left + size, top + size))
