"""What lies at a path: a data set as it was published, or a cache that was staged from one, or a place within it."""

import os
from collections.abc import Sequence
from pathlib import Path

from crossmae.data.images import ImageFiles, Images
from crossmae.data.published import open_published, require_images
from crossmae.data.staging.cache import find_cache, open_cache


def open_images(path: Path, split: str = "train") -> Images:
    """The images at ``path``: a folder, a folder of tar shards, a text file with one path per line, or their cache.

    Of a folder that has a folder ``split``, that is taken. It is searched at any depth, in the order of the paths;
    class folders make no difference. Paths in a list are absolute or relative to the list's folder. The shards of a
    folder are its ``*.tar`` files, in the order of their names.

    Raises:
        UserError: nothing there, or no image.
    """
    if cached := find_cache(path):
        folder, inner = cached
        return require_images(open_cache(folder).opened(inner, split), path)
    return open_published(path, split)[1]


def open_listed(root: Path, files: Sequence[str]) -> Images:
    """The images ``files``, named relative to ``root``: a folder, or a cache or a place within one."""
    cached = find_cache(root)
    return open_cache(cached[0]).listed(root, files) if cached else ImageFiles(root, files)


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in ``folder``; none if it does not exist."""
    if cached := find_cache(folder):
        cache, inner = cached
        return open_cache(cache).entries(inner)
    if not folder.is_dir():
        return [], []
    folders: list[str] = []
    files: list[str] = []
    for entry in os.scandir(folder):
        (folders if entry.is_dir() else files).append(entry.name)
    return folders, files


def is_folder(path: Path) -> bool:
    """Whether there is such a folder."""
    cached = find_cache(path)
    return open_cache(cached[0]).is_folder(cached[1]) if cached else path.is_dir()
