"""Images that are held out by their names alone, the same on every machine; images that are in both of two splits."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossmae.data.decode import UnreadableImage, read_file
from crossmae.errors import UserError
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.reader import Reader
from transfer.task import Problem


def held_out(images: LabelledImages, count: Callable[[int], int], salt: str = "") -> NDArray[np.int64]:
    """Rising places of the images of each class whose paths have the smallest SHA-256.

    Of images with several labels, those of the class with the fewest images come first, and one that is held out counts
    for all its classes; but one image of each class stays. Most images stay where they are if others come or go.

    Args:
        count: from the number of a class's images to how many of them are held out.
        salt: put in front of each path, so that others are held out.

    Raises:
        UserError: not one image is held out.
    """
    ranks = [hashlib.sha256(f"{salt}{file}".encode("utf-8", "surrogateescape")).digest() for file in images.files]
    held = (_of_all if images.several else _of_each_class)(images, ranks, count)
    if not held:
        raise UserError(f"{images.root}: no class has two training images, so none can be held out", "add images")
    return np.array(sorted(held))


def _of_each_class(images: LabelledImages, ranks: list[bytes], count: Callable[[int], int]) -> set[int]:
    held = set[int]()
    for label in range(len(images.classes)):
        of_class = sorted(np.flatnonzero(images.labels == label).tolist(), key=ranks.__getitem__)
        held.update(of_class[: count(len(of_class))])
    return held


def _of_all(images: LabelledImages, ranks: list[bytes], count: Callable[[int], int]) -> set[int]:
    """Of each class in turn, those with the fewest images first, as many as are lacking; then of images without one."""
    order = np.array(sorted(range(len(images)), key=ranks.__getitem__))
    left, held = images.counts(), set[int]()
    for label in np.argsort(left, kind="stable"):
        of_class = order[images.labels[order, label] > 0].tolist()
        lacking = count(len(of_class)) - len(held.intersection(of_class))
        for place in of_class:
            has = images.labels[place] > 0
            if lacking > 0 and place not in held and (left[has] > 1).all():
                held.add(place)
                left, lacking = left - has, lacking - 1
    bare = order[~images.labels[order].any(axis=1)].tolist()
    return held.union(bare[: count(len(bare))])


def a_fifth(count: int) -> int:
    """How many of a class's ``count`` images are held out: at least one of two."""
    return -(-count // 5) if count > 1 else 0


class TuningPart(Reader):
    """The training images of another reader alone: a fifth of each class is held out to choose values on.

    The validation images, which report on what was chosen, are not looked at.
    """

    published = None

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader.options)
        self.reader = reader

    def read(self, root: Path, split: str) -> LabelledImages:
        """Lists the images to fit on ("train"), or those that are held out ("val")."""
        images = self.reader.read(root, "train")
        held = held_out(images, a_fifth)
        return images.subset(held if split == "val" else np.setdiff1d(np.arange(len(images)), held))

    def check(self, root: Path) -> Iterator[Problem]:
        """Everything wrong with the data at ``root``."""
        return self.reader.check(root)


def digest_of_names(images: LabelledImages) -> str:
    """SHA-256 of the paths, sorted, one a line."""
    return hashlib.sha256("\n".join(sorted(images.files)).encode("utf-8", "surrogateescape")).hexdigest()


def twins(train: LabelledImages, val: LabelledImages, most: int = 1000) -> list[str]:
    """Images of ``val`` that are, byte for byte, images of ``train``; of files alone, at most ``most`` are read."""
    same_size: dict[int, list[int]] = defaultdict(list)
    for place, size in enumerate(train.images.sizes()):
        same_size[size].append(place)
    found = []
    for place, size in enumerate(val.images.sizes()):
        if candidates := same_size.get(size, [])[:most]:
            most -= len(candidates)
            digest = _digest(val, place)
            if digest and digest in {_digest(train, candidate) for candidate in candidates}:
                found.append(val.files[place])
    return found


def _digest(images: LabelledImages, place: int) -> bytes | None:
    source = images.images.read(place)
    try:
        return hashlib.sha256(read_file(source)).digest() if isinstance(source, (Path, bytes)) else None
    except UnreadableImage:
        return None
