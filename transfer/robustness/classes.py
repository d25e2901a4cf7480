"""The classes of ImageNet-1K, and which of them other sets have: all from the files that timm ships."""

import json
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache

from crossmae.errors import UserError


@cache
def synsets() -> tuple[str, ...]:
    """WordNet ids of the 1,000 classes, in the order of a classifier's outputs."""
    return tuple(_lines("imagenet_synsets.txt"))


@cache
def subset(letter: str) -> tuple[int, ...]:
    """Numbers of the 200 classes of ImageNet-A (``a``) or ImageNet-R (``r``), rising."""
    return tuple(map(int, _lines(f"imagenet_{letter}_indices.txt")))


@cache
def real_labels() -> Mapping[str, tuple[int, ...]]:
    """All right classes of each validation image of ImageNet-1K, by file name; for 3,163 of them there are none."""
    labels = json.loads(_text("imagenet_real_labels.json"))
    return {f"ILSVRC2012_val_{number:08d}.JPEG": tuple(right) for number, right in enumerate(labels, start=1)}


def numbers_of(names: Iterable[str], where: str) -> tuple[int, ...]:
    """Numbers of classes that are given by their words, such as ``sunglasses, dark glasses, shades``.

    Raises:
        UserError: a name that no class has, or that two have.
    """
    numbers: list[int] = []
    for name in names:
        found = _by_words().get(name.strip(), ())
        if len(found) != 1:
            raise UserError(f"{where}: {name!r} names {len(found)} classes of ImageNet-1K", "unpack the archive again")
        numbers += found
    return tuple(numbers)


@cache
def _by_words() -> Mapping[str, tuple[int, ...]]:
    words = dict(line.split("\t") for line in _lines("imagenet_synset_to_lemma.txt"))
    numbers: dict[str, tuple[int, ...]] = {}
    for number, synset in enumerate(synsets()):
        numbers[words[synset]] = (*numbers.get(words[synset], ()), number)
    return numbers


def _lines(file: str) -> list[str]:
    return _text(file).splitlines()


def _text(file: str) -> str:
    content = pkgutil.get_data("timm.data", f"_info/{file}")
    assert content is not None, f"timm has no {file}"
    return content.decode()
