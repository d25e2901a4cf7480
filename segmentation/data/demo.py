"""The demo's data in ADE20K's format: every pixel is one of four garments or background."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from crossmae.data.demo.scenes import Scene, SceneSource
from crossmae.data.demo.write import mark_generated, save_png
from crossmae.files import whole_folder
from segmentation.data.layout import CLASS_FILE, SCENE_FILE

GARMENTS = (1, 3, 7, 8)
"""Labels of trouser, dress, sneaker and bag: annotation values 2 to 5, after background's 1."""

COUNTS = {"training": 400, "validation": 300}


def write(root: Path, scenes: SceneSource, counts: Mapping[str, int] = COUNTS) -> None:
    """Writes ``images``, ``annotations``, class and scene lists under ``root``, which appears only when complete."""
    with whole_folder(root) as folder:
        lines = [line for split in counts for line in _write_split(folder, split, counts[split], scenes)]
        (folder / SCENE_FILE).write_text("\n".join(lines) + "\n")
        names = ("background", *(scenes.class_names[label] for label in GARMENTS))
        (folder / CLASS_FILE).write_text(_class_table(folder, names))
        mark_generated(folder)


def _write_split(folder: Path, split: str, count: int, scenes: SceneSource) -> list[str]:
    short = "train" if split == "training" else "val"
    images, annotations = folder / "images" / split, folder / "annotations" / split
    images.mkdir(parents=True)
    annotations.mkdir(parents=True)
    drawn = scenes.draw("ade20k", short, count, classes=GARMENTS, objects=(1, 3), scale=(0.4, 0.7))
    lines = []
    for number, scene in enumerate(track(drawn, f"ADE20K {split}", count), start=1):
        name = f"ADE_{short}_{number:08d}"
        save_png(scene.image, images / f"{name}.png")
        save_png(annotation(scene), annotations / f"{name}.png")
        lines.append(f"{name} {scenes.background_names[scene.background]}")
    return lines


def annotation(scene: Scene) -> NDArray[np.uint8]:
    """ADE20K's annotation of ``scene``, (H, W): 1 for background, 2 and up for garments (0 would be "other")."""
    labels = np.ones(scene.image.shape[:2], np.uint8)
    for item in scene.objects:
        labels[item.mask] = 2 + GARMENTS.index(item.label)
    return labels


def _class_table(folder: Path, names: Sequence[str]) -> str:
    """``objectInfo150.txt``: index, share of all pixels, images in training and in validation, stuff or thing, name."""
    shares, images = np.zeros(len(names)), {split: np.zeros(len(names), int) for split in COUNTS}
    for split in COUNTS:
        for path in (folder / "annotations" / split).iterdir():
            pixels = np.bincount(np.asarray(Image.open(path)).ravel(), minlength=len(names) + 1)[1:]
            images[split] += pixels > 0
            shares += pixels
    shares /= shares.sum()
    rows = [
        f"{i + 1}\t{shares[i]:.4f}\t{images['training'][i]}\t{images['validation'][i]}\t{int(i == 0)}\t{name}"
        for i, name in enumerate(names)
    ]
    return "\n".join(["Idx\tRatio\tTrain\tVal\tStuff\tName", *rows]) + "\n"
