"""Folders as readers of data sets see them: on disk, or in a cache that was staged from them."""

import os
from pathlib import Path

from crossmae.data.staging.cache import find_cache, open_cache


def entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in ``folder``; none if it does not exist."""
    if found := find_cache(folder):
        return open_cache(found[0]).entries(found[1])
    if not folder.is_dir():
        return [], []
    folders: list[str] = []
    files: list[str] = []
    for entry in os.scandir(folder):
        (folders if entry.is_dir() else files).append(entry.name)
    return folders, files


def is_folder(path: Path) -> bool:
    """Whether there is such a folder."""
    found = find_cache(path)
    return open_cache(found[0]).is_folder(found[1]) if found else path.is_dir()
