"""Demo data on disk: where it lies, and the images for pretraining."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from crossmae.data.demo.scenes import Scene, SceneSource
from crossmae.data.images import DEMO_FILE
from crossmae.files import data_folder, whole_folder

UNLABELLED_COUNT = 12_000


def demo_root(name: str) -> Path:
    """Where the demo's data set ``name`` (pretrain, imagenet, coco, ...) lies, whether it was written or not."""
    return data_folder() / "demo" / name


def mark_generated(folder: Path) -> None:
    """Leaves a file in ``folder`` that says that its images were generated."""
    (folder / DEMO_FILE).write_text("{}\n")


def save_png(image: NDArray[np.uint8] | NDArray[np.uint16], path: Path) -> None:
    """Writes an (H, W, 3) or (H, W) image without loss, fast rather than small."""
    Image.fromarray(image).save(path, compress_level=1)


def write_unlabelled(folder: Path, count: int = UNLABELLED_COUNT, seed: int = 0) -> None:
    """Writes the images for pretraining, ``folder/000000.png`` and so on; half of them with one large garment.

    Does nothing if ``folder`` exists.
    """
    if folder.exists():
        return
    scenes = chain.from_iterable(zip(*_unlabelled(SceneSource(seed), (count + 1) // 2), strict=True))
    with whole_folder(folder) as unfinished:
        for index in track(range(count), description=f"Writing {count:,} demo images to {folder}"):
            save_png(next(scenes).image, unfinished / f"{index:06d}.png")
        mark_generated(unfinished)


def _unlabelled(source: SceneSource, count: int) -> tuple[Iterator[Scene], Iterator[Scene]]:
    return (
        source.draw("pretrain-one", "unlabelled", count, objects=(1, 1), scale=(0.5, 0.9)),
        source.draw("pretrain-many", "unlabelled", count, objects=(1, 4), scale=(0.3, 0.6)),
    )
