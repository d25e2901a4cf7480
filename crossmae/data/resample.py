"""Bicubic crop-and-resize of a whole batch of images by two matrix products, equal to Pillow's."""

import torch
from torch import Tensor

from crossmae.data.crops import Crops


class BatchResampler:
    """Cuts boxes out of square images and resizes them; the weights of all possible boxes are computed once.

    Args:
        source: side of the images in pixels; at most ``MOST``, as the weights grow with its cube.
        target: side of the results in pixels.
    """

    MOST = 96

    def __init__(self, source: int, target: int) -> None:
        lengths = torch.arange(1, source + 1)
        self._first = torch.cumsum(source - lengths + 1, 0) - (source - lengths + 1)
        boxes = [(start, int(length)) for length in lengths for start in range(source - int(length) + 1)]
        starts, sizes = torch.tensor(boxes).T
        self._weights = bicubic_weights(starts, sizes, source, target)

    def __call__(self, images: Tensor, crops: Crops) -> Tensor:
        """Args: images (N, 3, side, side) uint8. Returns: (N, 3, target, target) float32, 0 to 255."""
        rows = self._of(crops.top, crops.height)
        columns = self._of(crops.left, crops.width)
        mirror = torch.from_numpy(crops.mirror)
        columns[mirror] = columns[mirror].flip(1)
        return resample(images.float(), rows, columns)

    def _of(self, starts: object, lengths: object) -> Tensor:
        return self._weights[self._first[torch.as_tensor(lengths) - 1] + torch.as_tensor(starts)]


def resample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resizes in both directions.

    Args:
        images: (N, C, H, W) float32, 0 to 255.
        rows: weights (N, T, H); columns: weights (N, T, W).

    Returns:
        (N, C, T, T) float32, 0 to 255.
    """
    count, channels, height, width = images.shape
    narrow = torch.bmm(images.reshape(count, channels * height, width), columns.mT)
    # Pillow clips after each direction (in an order that it chooses by the sizes): its intermediate has 8 bits.
    narrow = narrow.clamp_(0, 255).view(count, channels, height, -1)
    return torch.matmul(rows[:, None], narrow).clamp_(0, 255)


def bicubic_weights(starts: Tensor, lengths: Tensor, source: int, target: int) -> Tensor:
    """Weights (n, target, source) that resize each interval of ``source`` pixels to ``target`` pixels.

    Pillow's filter: Keys' cubic with a = -0.5, widened by the scale when shrinking (antialias), normalised over the
    interval's own pixels.
    """
    scale = lengths[:, None, None] / target
    centres = (torch.arange(target, device=starts.device)[None, :, None] + 0.5) * scale
    pixels = torch.arange(source, device=starts.device)[None, None, :] - starts[:, None, None]
    inside = (pixels >= 0) & (pixels < lengths[:, None, None])
    weights = _cubic((pixels + 0.5 - centres) / scale.clamp(min=1)) * inside
    return weights / weights.sum(-1, keepdim=True)


def _cubic(x: Tensor, a: float = -0.5) -> Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
