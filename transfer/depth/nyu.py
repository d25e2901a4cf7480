"""NYU Depth v2 as its copies for depth estimation lie: colour images and depth maps, named line by line in a list."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from crossmae.data.decode import UnreadableImage, opened, read_rgb
from crossmae.data.demo.scenes import Scene, SceneSource
from crossmae.data.demo.write import mark_generated, save_png
from crossmae.data.images import described_files, fingerprint_of, is_generated
from crossmae.errors import UserError, one_line
from crossmae.files import read_regular, whole_folder
from transfer.task import Problem

COUNTS: Mapping[str, int] = {"train": 24_231, "test": 654}
"""Images of the published splits."""
_LISTS: Mapping[str, Mapping[str, str]] = {
    "nyu_{split}.txt": {"train": "", "test": ""},
    "nyudepthv2_{split}_files_with_gt.txt": {"train": "sync", "test": "official_splits/test"},
}
"""By a list's name the folders that its lines are relative to: BinsFormer's archive, and BTS's."""
_LIKE = "/SCENE/rgb_00000.jpg /SCENE/sync_depth_00000.png 518.8579"
_UNITS = 1000.0
"""Of a depth map's 16-bit numbers in a metre; 0 is unknown."""
_OPENED = 200
"""Pairs of a split that ``check`` looks into."""
_DEMO_COUNTS: Mapping[str, int] = {"train": 200, "test": 100}
_DEMO_NEAREST, _DEMO_STEP, _DEMO_WALL = 3.0, 0.5, 5.0
"""Metres: of the garment that was pasted first, between one and the next, and of the background."""
_DEMO_RIM = 2
"""Pixels at each edge of a generated depth map that are unknown, as the real ones' edges are."""


@dataclass(frozen=True)
class Pair:
    """A colour image and its depth map, of one size."""

    name: str
    image: Path
    depth: Path


def pairs_of(root: Path, split: str) -> list[Pair]:
    """The pairs of ``split`` ("train" or "test") in the order of its list.

    Raises:
        UserError: there is no list, it cannot be read, or a line names no pair below ``root``.
    """
    path, folder = _list_of(root, split)
    try:
        lines = read_regular(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({one_line(error, 100)})", "copy it again") from error
    pairs = [_pair(folder, path, line) for line in lines if line.strip()]
    if not pairs:
        raise UserError(f"{path} names no images", "copy it again")
    return pairs


def read_image(pair: Pair) -> NDArray[np.uint8]:
    """The colour image, (H, W, 3).

    Raises:
        UserError: it cannot be read.
    """
    try:
        return np.asarray(read_rgb(pair.image, upright=False))
    except UnreadableImage as error:
        raise UserError(f"{pair.image} cannot be read ({error})", "copy it again") from error


def read_depth(pair: Pair) -> NDArray[np.float32]:
    """The depth in metres, (H, W); 0 where it is unknown.

    Raises:
        UserError: it cannot be read, or is no map of 16-bit numbers.
    """
    try:
        with opened(pair.depth) as picture:
            if not picture.mode.startswith("I"):
                raise UserError(f"{pair.depth} has 8-bit pixels, not millimetres", f"get the copy with {_LIKE}")
            return np.asarray(picture).astype(np.float32) / np.float32(_UNITS)
    except UnreadableImage as error:
        raise UserError(f"{pair.depth} cannot be read ({one_line(error)})", "copy it again") from error


def problems(root: Path) -> Iterator[Problem]:
    """Finds everything wrong with the data at ``root``."""
    for split in COUNTS:
        try:
            pairs = pairs_of(root, split)
        except UserError as error:
            yield Problem(error.what, error.remedy)
            continue
        if absent := [path for pair in pairs for path in (pair.image, pair.depth) if not path.is_file()]:
            yield Problem(f"{split}: {len(absent):,} files are not there, such as {absent[0]}", "unpack the data again")
            continue
        yield from _content(pairs)


def departures(root: Path) -> Iterator[str]:
    """How the numbers of images differ from the published splits, unless we wrote the data."""
    for split, expected in COUNTS.items():
        if not is_generated(root) and (count := len(pairs_of(root, split))) != expected:
            yield f"{count:,} {split} images (NYU Depth v2 as BTS has it: {expected:,})"


def fingerprint_of_nyu(root: Path) -> str:
    """Sixteen digits of both lists, and of names and sizes of the files that they name."""
    splits = {split: pairs_of(root, split) for split in COUNTS}
    files = [
        path.relative_to(root).as_posix()
        for pairs in splits.values()
        for pair in pairs
        for path in (pair.image, pair.depth)
    ]
    return fingerprint_of(
        (*(f"{split} {len(pairs)}" for split, pairs in splits.items()), *described_files(root, files))
    )


def write_demo(root: Path, scenes: SceneSource, counts: Mapping[str, int] = _DEMO_COUNTS) -> None:
    """Writes scenes of up to three garments; what was pasted later is nearer."""
    with whole_folder(root) as folder:
        mark_generated(folder)
        for split, count in counts.items():
            lines = []
            for number, scene in enumerate(scenes.draw("nyu", "val" if split == "test" else split, count)):
                names = [f"{split}_scene/{kind}_{number:05d}.png" for kind in ("rgb", "sync_depth")]
                (folder / names[0]).parent.mkdir(exist_ok=True)
                save_png(scene.image, folder / names[0])
                save_png(_depth_of(scene), folder / names[1])
                lines.append(f"/{names[0]} /{names[1]} 518.8579")
            (folder / f"nyu_{split}.txt").write_text("\n".join(lines) + "\n")


def _depth_of(scene: Scene) -> NDArray[np.uint16]:
    depth = np.full(scene.image.shape[:2], _DEMO_WALL * _UNITS, np.uint16)
    for place, item in enumerate(scene.objects):
        depth[item.mask] = round((_DEMO_NEAREST - _DEMO_STEP * place) * _UNITS)
    known = np.zeros_like(depth)
    known[_DEMO_RIM:-_DEMO_RIM, _DEMO_RIM:-_DEMO_RIM] = 1
    return depth * known


def _list_of(root: Path, split: str) -> tuple[Path, Path]:
    for name, folders in _LISTS.items():
        if (path := root / name.format(split=split)).is_file():
            return path, root / folders[split]
    for inner in ("nyu", "NYU"):
        if (root / inner / f"nyu_{split}.txt").is_file():
            raise UserError(f"{root} holds {inner} as a folder", f"give {root / inner} as the data root")
    names = " or ".join(name.format(split=split) for name in _LISTS)
    raise UserError(f"{root} has no {names}", f"put the list there; its lines are like {_LIKE}")


def _pair(folder: Path, path: Path, line: str) -> Pair:
    names = line.split()[:2]
    # Lines begin with a slash, and are not absolute paths for all that.
    parts = [PurePosixPath(name.lstrip("/")) for name in names]
    if len(parts) < 2 or any(".." in part.parts or not part.suffix for part in parts):
        raise UserError(f"{path} has a line {line[:60]!r}, which names no pair", f"its lines are like {_LIKE}")
    return Pair(str(parts[0]), folder / parts[0], folder / parts[1])


def _content(pairs: list[Pair]) -> Iterator[Problem]:
    for pair in pairs[:: max(1, len(pairs) // _OPENED)]:
        try:
            image, depth = read_image(pair), read_depth(pair)
        except UserError as error:
            yield Problem(error.what, error.remedy)
            continue
        if image.shape[:2] != depth.shape:
            sizes = [" x ".join(map(str, shape)) for shape in (depth.shape, image.shape[:2])]
            yield Problem(f"{pair.depth} is {sizes[0]}, its image {sizes[1]}", "copy both again")
        elif not depth.any():
            yield Problem(f"{pair.depth} knows no pixel's depth", "copy it again")
        elif (median := float(np.median(depth[depth > 0]))) < 0.1:
            yield Problem(
                f"{pair.depth} has a median of {median * _UNITS:.0f}: no millimetres", f"get the copy with {_LIKE}"
            )
