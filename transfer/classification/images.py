"""Labelled images as tensors."""

import torch
from PIL import Image
from torch import Tensor

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.keyed import SampleKey, seed_libraries
from crossmae.errors import UserError
from transfer.classification.transforms import Transform
from transfer.datasets.labelled import LabelledImages

Label = int | Tensor
"""A class, or (classes,) of 0 and 1 where images have several."""
Sample = tuple[Tensor, Label]
"""Image (3, H, W) as its transform leaves it, and its label."""


def _label(images: LabelledImages, index: int) -> Label:
    return torch.from_numpy(images.labels[index]) if images.several else int(images.labels[index])


class DecodedImages:
    """RGB pictures of a split, kept in memory once decoded if ``keep``."""

    def __init__(self, images: LabelledImages, keep: bool) -> None:
        self.images = images
        self.keep = keep
        self._kept: dict[int, Image.Image] = {}

    def __getitem__(self, index: int) -> Image.Image:
        if index in self._kept:
            return self._kept[index]
        picture = self._read(index)
        if self.keep:
            self._kept[index] = picture
        return picture

    def _read(self, index: int) -> Image.Image:
        try:
            # As it is stored: the released code ignores the orientation that a file names.
            return read_rgb(self.images.images.read(index), upright=False)
        except UnreadableImage as error:
            name = self.images.images.name(index)
            raise UserError(
                f"{name} cannot be read ({error})", "copy it again or take it out of the data set"
            ) from error


class TrainImages:
    """Augmented training samples; each a function of the seed and its key alone."""

    def __init__(self, images: LabelledImages, transform: Transform, seed: int, keep: bool) -> None:
        self.pictures = DecodedImages(images, keep)
        self.images = images
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: SampleKey) -> Sample:
        picture = self.pictures[key.index]
        seed_libraries(self.seed, key.epoch, key.index)
        return self.transform(picture), _label(self.images, key.index)

    def name(self, index: int) -> str:
        """Path of a sample, as logs name it."""
        return self.images.files[index]


class EvaluationImages(torch.utils.data.Dataset[tuple[Tensor, Label, int]]):
    """Every ``world``-th image from ``rank`` on, with its index: image, label, index."""

    def __init__(self, images: LabelledImages, transform: Transform, rank: int, world: int, keep: bool) -> None:
        self.pictures = DecodedImages(images, keep)
        self.images = images
        self.transform = transform
        self.indices = range(rank, len(images), world)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> tuple[Tensor, Label, int]:
        index = self.indices[place]
        return self.transform(self.pictures[index]), _label(self.images, index), index
