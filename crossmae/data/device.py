"""Random resized crops whose pixels are resized, mirrored and normalised on the device, a batch at a time.

The host cuts the boxes out of images that are pixels already (a ``raw`` cache), which is a copy of memory; the device
does the rest. The boxes are those of ``ImageSamples``: a function of the seed, the epoch and the sample.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crossmae.data.decode import read_pixels
from crossmae.data.keyed import SampleKey
from crossmae.data.pretraining import Samples, readable
from crossmae.data.resample import bicubic_weights, resample


class BoxSamples(Samples):
    """The boxes of a micro-batch, in the corners of canvases of one size.

    Gives, once ``make_views`` has had them, the samples that ``ImageSamples`` gives, but for the rounding to 8 bits.
    """

    def __getitems__(self, keys: Sequence[SampleKey]) -> dict[str, Any]:
        """With ``canvas`` (N, H, W, 3) uint8 and ``box`` (N, 3): height, width, whether to mirror."""
        unreadable: list[int] = []
        pixels = [readable(self.images, key.index, read_pixels, unreadable) for key in keys]
        crops = self.views.crops(keys, [(image.shape[1], image.shape[0]) for image in pixels])
        canvas = np.empty((len(keys), int(crops.height.max()), int(crops.width.max()), 3), np.uint8)
        for place, image in enumerate(pixels):
            left, top, width, height = crops.box(place)
            canvas[place, :height, :width] = image[top : top + height, left : left + width]
        box = np.stack([crops.height, crops.width, crops.mirror], axis=1)
        return {
            "canvas": torch.from_numpy(canvas),
            "box": torch.from_numpy(box),
            "noise": self.views.noise(keys),
            "unreadable": unreadable,
        }


@torch.no_grad()
def make_views(canvas: Tensor, box: Tensor, size: int) -> Tensor:
    """Resizes (bicubic, antialiased, as Pillow and torchvision do) and mirrors.

    Args:
        canvas, box: of ``BoxSamples``, on any device.
        size: side of the views in pixels.

    Returns:
        (N, 3, size, size) float32, 0 to 255, within 1 of torchvision's on 8-bit images.
    """
    heights, widths, mirror = box.unbind(1)
    starts = torch.zeros_like(heights)
    rows = bicubic_weights(starts, heights, canvas.shape[1], size)
    columns = bicubic_weights(starts, widths, canvas.shape[2], size)
    columns = torch.where(mirror[:, None, None] > 0, columns.flip(1), columns)
    with torch.autocast(canvas.device.type, enabled=False):
        return resample(canvas.permute(0, 3, 1, 2).float(), rows, columns)
