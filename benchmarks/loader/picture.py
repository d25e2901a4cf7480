"""Draws the same eight samples as every path makes them.

python -m benchmarks.loader.picture [FOLDER of the photographs] [FILE]
"""

import sys
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import InterpolationMode, hflip, pil_to_tensor, resized_crop

from benchmarks.loader.compare import DATA, prepare
from benchmarks.loader.paths import VIEWS
from crossmae.data.images import ImageFiles
from crossmae.data.keyed import SampleKey
from crossmae.data.open import open_images
from crossmae.data.samples import BoxSamples, ImageSamples, make_views

KEYS = [SampleKey(0, 251 * place) for place in range(8)]


def main(data: Path, out: Path) -> None:
    """One row per path; what torchvision makes of the same boxes comes first."""
    rows = views(*prepare(data))
    reference = next(iter(rows.values())).float()
    figure, axes = plt.subplots(len(rows), len(KEYS), figsize=(10.5, 1.42 * len(rows)), squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        difference = (images.float() - reference).abs().mean()
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.permute(1, 2, 0).clamp(0, 255).byte())
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"{name}\n|difference| {difference:.2f}", fontsize=7)
    figure.tight_layout(pad=0.3)
    figure.savefig(out, dpi=100, pil_kwargs={"quality": 90})


def views(photos: Path, raw: Path) -> dict[str, Tensor]:
    """(8, 3, 224, 224), 0 to 255, by path."""
    files, pixels = open_images(photos), open_images(raw)
    boxes = BoxSamples(pixels, VIEWS).__getitems__(KEYS)
    assert isinstance(files, ImageFiles)
    return {
        "torchvision + PIL": torch.stack([_torchvision(files, key) for key in KEYS]),
        "JPEG, exact": ImageSamples(files, VIEWS).__getitems__(KEYS)["image"],
        "JPEG, fast": ImageSamples(files, VIEWS, exact=False).__getitems__(KEYS)["image"],
        "raw 256, exact": ImageSamples(pixels, VIEWS).__getitems__(KEYS)["image"],
        "raw 256, fast": ImageSamples(pixels, VIEWS, exact=False).__getitems__(KEYS)["image"],
        "raw 256, device": make_views(boxes["canvas"], boxes["box"], VIEWS.image_size),
    }


def _torchvision(files: ImageFiles, key: SampleKey) -> Tensor:
    image = Image.open(files.read(key.index)).convert("RGB")
    crops = VIEWS.crops([key], [image.size])
    left, top, width, height = crops.box(0)
    view = resized_crop(image, top, left, height, width, [224, 224], InterpolationMode.BICUBIC)
    return pil_to_tensor(hflip(view) if crops.mirror[0] else view)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA, Path(sys.argv[2] if len(sys.argv) > 2 else "loader.jpg"))
