"""Images as they were published: a folder with or without class folders, a list of files, or tar shards."""

import mmap
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from crossmae.data.images import ImageFiles, Images
from crossmae.data.names import SUFFIXES, Names, is_image
from crossmae.errors import UserError, one_line
from crossmae.files import open_regular

_MOST_OPEN = 256
"""Shards that a process holds open."""
_MOST_WAYS = 100
"""Paths that lead to one folder, by symbolic links; more are a maze that no data set needs."""
_LONGEST_PATH = 4096
_ADVICE = "give an image folder, a list of files or a folder of tar shards"


class ShardedImages:
    """The images of WebDataset shards, whatever else the samples hold.

    The shards are indexed when they are opened; afterwards one read fetches one image, so that an epoch's order is
    drawn over all of them and a resume finds its place at once.

    Raises:
        UserError: a shard is damaged, compressed or no regular file.
    """

    deviations: tuple[str, ...] = ()

    def __init__(self, shards: Sequence[Path]) -> None:
        self._shards = list(shards)
        members = [(number, *member) for number, shard in enumerate(shards) for member in _members(shard)]
        self._names = Names(f"{self._shards[number].name}/{name}" for number, name, _, _ in members)
        self._places = np.array([(number, offset, size) for number, _, offset, size in members]).reshape(-1, 3)
        self._open = lru_cache(maxsize=_MOST_OPEN)(lambda number: open_regular(self._shards[number]))

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Path of the shard and name within it."""
        return str(self._shards[0].parent / self._names[index])

    def relative(self, index: int) -> str:
        """Shard and name within the shard."""
        return self._names[index]

    def read(self, index: int) -> bytes:
        """The encoded image."""
        number, offset, size = (int(value) for value in self._places[index])
        # Data-loading processes share the file's position: read by offset.
        return os.pread(self._open(number).fileno(), size, offset)

    def sizes(self) -> list[int]:
        """Returns the bytes of each image, as the shards' headers say."""
        return [int(size) for size in self._places[:, 2]]

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the names and their order."""
        return self._names.fingerprint


def open_published(path: Path, split: str = "train") -> tuple[str, Images]:
    """The layout (``folder``, ``list`` or ``shards``) of what lies at ``path``, and its images; see ``open_images``.

    Archives may lie next to what was unpacked from them: where there are image files, those are the data set.

    Raises:
        UserError: nothing there, or no image.
    """
    if path.is_file():
        return "list", require_images(ImageFiles(path.parent, _listed(path)), path)
    if not path.is_dir():
        raise UserError(f"no images at {path}", _ADVICE)
    root = path / split if (path / split).is_dir() else path
    files = files_below(root)
    shards = [] if len(files) else sorted(shard for shard in root.glob("*.tar") if not shard.is_dir())
    if shards:
        return "shards", require_images(ShardedImages(shards), path)
    return "folder", require_images(files, path)


def files_below(root: Path) -> ImageFiles:
    """The image files in ``root`` at any depth, in the order of their paths."""
    return ImageFiles(root, sorted(names_below(root)))


def require_images(images: Images, path: Path) -> Images:
    """``images``, those of ``path``, if there are any.

    Raises:
        UserError: there is none.
    """
    if not len(images):
        raise UserError(f"{path} holds no image", f"image files end in {' '.join(sorted(SUFFIXES))}")
    return images


class Ways:
    """Counts the paths that lead to each folder of a data set, so that a maze of symbolic links is soon left."""

    def __init__(self) -> None:
        self._count: Counter[tuple[int, int]] = Counter()

    def enter(self, folder: str) -> tuple[int, int]:
        """Device and inode of ``folder``.

        Raises:
            UserError: too many paths lead there.
        """
        status = os.stat(folder)  # noqa: PTH116 - plain strings, as os.walk gives them
        identity = (status.st_dev, status.st_ino)
        self._count[identity] += 1
        if self._count[identity] > _MOST_WAYS:
            raise UserError(f"more than {_MOST_WAYS} paths lead to {folder}", "remove symbolic links below it")
        return identity


def names_below(root: Path, wanted: Callable[[str], bool] = is_image) -> Iterator[str]:
    """Paths, relative to ``root`` and with /, of the files at any depth whose names are ``wanted``.

    Raises:
        UserError: symbolic links make a maze of it.
    """
    ways = Ways()
    above = {str(root): frozenset[tuple[int, int]]()}
    for folder, folders, files in os.walk(root, followlinks=True):
        inner = os.path.relpath(folder, root)
        around, identity = above.pop(folder), ways.enter(folder)
        if identity in around:  # a link to a folder that it lies in
            folders.clear()
            continue
        above |= {os.path.join(folder, name): around | {identity} for name in folders}  # noqa: PTH118
        yield from (file if inner == "." else f"{inner}/{file}" for file in files if wanted(file))


def _listed(path: Path) -> list[str]:
    """The lines of a list of files.

    Raises:
        UserError: it is an image or an archive, not text, or names no image.
    """
    if is_image(path.name) or path.suffix == ".tar":
        raise UserError(
            f"{path} is one {'shard' if path.suffix == '.tar' else 'image'}", "give the folder that it is in"
        )
    lines: list[str] = []
    with open_regular(path) as file:
        while line := file.readline(_LONGEST_PATH):
            if b"\0" in line or len(line) == _LONGEST_PATH:
                raise UserError(f"{path} is no list of files", _ADVICE)
            # Names may hold bytes that are no UTF-8; an editor may have put a byte order mark before the first.
            lines.append(line.decode("utf-8", "surrogateescape").strip().removeprefix("\ufeff"))
    names = [line for line in lines if line]
    if names and not any(map(is_image, names)):
        raise UserError(f"{path} names no image: {names[0][:60]!r}", "a list has the path of one image in each line")
    return names


def _members(shard: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size in bytes of every image in a tar file.

    Raises:
        UserError: the shard is damaged, compressed or no regular file, or an image in it is a link.
    """
    try:
        # Mapped, since a header that claims any length is then read no further than the file reaches.
        with open_regular(shard) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield from _images_in(tarfile.open(fileobj=content, mode="r:"), content)
    except UserError as error:
        raise UserError(f"{shard} {error.what}", error.remedy) from error
    except Exception as error:  # what is no tar file fails in every way there is
        remedy = "copy or unpack it again; shards are tar files without compression"
        raise UserError(f"{shard} is damaged or no tar file ({one_line(error, 100)})", remedy) from error


def _images_in(tar: tarfile.TarFile, content: mmap.mmap) -> Iterator[tuple[str, int, int]]:
    before = -1
    while member := tar.next():
        tar.members.clear()  # type: ignore[attr-defined]  # which would be kept for the whole shard
        beyond = member.isreg() and member.offset_data + member.size > len(content)
        if member.size < 0 or tar.offset <= before or beyond:
            raise UserError(f"is damaged at {member.name!r}", "copy it again")
        before = tar.offset
        if is_image(member.name) and not member.isdir():
            if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.sparse:
                raise UserError(f"holds {member.name!r} as a link or a sparse file", "pack the file itself")
            yield member.name, member.offset_data, member.size
    # The library takes any header that it cannot read for the end.
    if content[tar.offset : tar.offset + tarfile.BLOCKSIZE].strip(b"\0"):
        raise UserError(f"is damaged at byte {tar.offset:,}", "copy it again")
