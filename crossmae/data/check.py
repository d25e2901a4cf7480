"""Which images of a data set cannot be read, found on all cores before a run."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track

from crossmae.data.decode import UnreadableImage, read_rgb
from crossmae.data.images import Images

_CHUNK = 64


@dataclass(frozen=True)
class Problem:
    """An image that cannot be read."""

    name: str
    reason: str


def check_images(images: Images, processes: int | None = None) -> Iterator[Problem]:
    """Decodes every image and yields those that pretraining would replace, in order, showing progress on a terminal.

    Args:
        processes: None for one per core.
    """
    chunks = [range(start, min(start + _CHUNK, len(images))) for start in range(0, len(images), _CHUNK)]
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=get_context("fork")) as pool:
        results = pool.map(_check, repeat(images), chunks)
        for problems in _shown(results, len(images), len(chunks)):
            yield from problems


def _shown(results: Iterator[list[Problem]], images: int, chunks: int) -> Iterable[list[Problem]]:
    # On stderr: the list may be piped.
    return track(results, description=f"Checking {images:,} images", total=chunks, console=Console(stderr=True))


def _check(images: Images, indices: range) -> list[Problem]:
    problems = []
    for index in indices:
        try:
            read_rgb(images.read(index))
        except UnreadableImage as error:
            problems.append(Problem(images.name(index), str(error)))
    return problems
