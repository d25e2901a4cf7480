"""Demo data on disk: where it lies, how a folder is written whole or not at all, and the pretraining images."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from crossmae.data.scenes import Scene, SceneSource

DATA_VARIABLE = "CROSSMAE_DATA"
"""Environment variable that names the folder of all data; ``data`` under the working folder otherwise."""

UNLABELLED_COUNT = 12_000


def demo_root(name: str) -> Path:
    """Where the demo's data set ``name`` (pretrain, imagenet, coco, ...) lies, whether it was written or not."""
    return Path(os.environ.get(DATA_VARIABLE, "data")) / "demo" / name


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary sibling to write into, which becomes ``folder`` if the block ends well; nothing is left otherwise.

    Of several processes that write the same folder at once, the first to finish wins.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}-{uuid4().hex}")
    unfinished.mkdir()
    try:
        yield unfinished
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def save_png(image: NDArray[np.uint8], path: Path) -> None:
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


def _unlabelled(source: SceneSource, count: int) -> tuple[Iterator[Scene], Iterator[Scene]]:
    return (
        source.draw("pretrain-one", "unlabelled", count, objects=(1, 1), scale=(0.5, 0.9)),
        source.draw("pretrain-many", "unlabelled", count, objects=(1, 4), scale=(0.3, 0.6)),
    )
