"""Ways from photographs to batches: torchvision's, and ours. Each is one epoch in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.samples import BoxSamples, ImageSamples, Views
from crossmae.pretraining.workload import MEAN, STD, normalize
from crossmae.train.batches import SampleStream

BATCH = 64
VIEWS = Views(image_size=224, num_patches=196, seed=0)
Epoch = Callable[[], Iterator[Any]]


@dataclass(frozen=True)
class Bar:
    """``name`` is to load at least ``times`` the images per second of torchvision's path."""

    name: str
    times: float


BARS = (Bar("jpeg fast", 1.5), Bar("raw exact", 2.0), Bar("raw fast", 2.0), Bar("raw for the device", 10.0))


def paths(photos: Path, raw: Path) -> dict[str, Epoch]:
    """Every way to normalised crops (N, 3, 224, 224) float32, and ``raw for the device``, which leaves them to it."""
    return {
        "torchvision": lambda: torchvision(photos / "train"),
        "jpeg exact": lambda: ours(photos, exact=True),
        "jpeg fast": lambda: ours(photos, exact=False),
        "raw exact": lambda: ours(raw, exact=True),
        "raw fast": lambda: ours(raw, exact=False),
        "raw for the device": lambda: boxes(raw),
    }


def torchvision(folder: Path) -> Iterator[Tensor]:
    """ImageFolder and the transforms of the released pretraining code."""
    mean, std = ([value / 255 for value in values] for values in (MEAN, STD))
    steps = [
        transforms.RandomResizedCrop(224, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    loader = DataLoader(ImageFolder(str(folder), transforms.Compose(steps)), batch_size=BATCH, shuffle=True)
    return (images for images, _ in loader)


def ours(data: Path, exact: bool) -> Iterator[Tensor]:
    """Crops on the host, normalised as the training step does it."""
    samples = ImageSamples(open_images(data), VIEWS, exact)
    return (normalize(samples.__getitems__(keys)["image"]) for keys in _keys(len(samples)))


def boxes(data: Path) -> Iterator[dict[str, Any]]:
    """What the host delivers where the device resizes."""
    samples = BoxSamples(open_images(data), VIEWS)
    return (samples.__getitems__(keys) for keys in _keys(len(samples)))


def _keys(count: int) -> Iterator[list[SampleKey]]:
    stream = SampleStream(count, BATCH, seed=0)
    return (stream.keys(step) for step in range(count // BATCH))
