"""Two mmengine configs, value by value; ``python -m segmentation.build.compare`` prints ours next to the published."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmseg
from mmengine.config import Config
from tabulate import tabulate

from segmentation.build.common import NATIVE

PUBLISHED = Path(mmseg.__file__).parent / ".mim/configs/mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py"
"""mmsegmentation's own file, as its package carries it."""

ABSENT = "absent"

REASONS = {
    "data_root": "folder on this machine",
    "pretrained": "file name",
    "loss_scale": "not read by mmengine; how the published model was trained is not known",
}

INERT = {
    "data_preprocessor.": "copied to model.data_preprocessor, which is compared",
    "optimizer.": "of a file that it inherits from; optim_wrapper has its own",
    "tta_": "multi-scale test, which the task does not report",
    "img_ratios": "name within the file, for the multi-scale test",
    "dataset_type": "name within the file",
    "train_pipeline": "name within the file; the loaders' copies are compared",
    "test_pipeline": "name within the file; the loaders' copies are compared",
    "dataset.": "name within the file; the loaders' copies are compared",
    "class_names": "name within the file",
    "crop_size": "name within the file",
    "image_scale": "name within the file",
    "embed_dim": "name within the file",
    "norm_cfg.": "name within the file",
    "work_dir": "folder on this machine",
}
"""Values that nothing reads, by the beginning of their keys, and why."""


@dataclass(frozen=True)
class Difference:
    """A value that differs, and why it may."""

    key: str
    published: Any
    ours: Any

    @property
    def reason(self) -> str:
        """Empty if there is none."""
        return REASONS.get(self.key.rpartition(".")[2], "")


def differences(published: Config, ours: Config) -> list[Difference]:
    """The values that differ and that something reads, by dotted key; tuples equal lists, and 1 equals 1.0."""
    return [pair for pair in _pairs(published, ours) if not pair.key.startswith(tuple(INERT))]


def inert_differences(published: Config, ours: Config) -> dict[str, int]:
    """How many values differ below each key of ``INERT``."""
    keys = [pair.key for pair in _pairs(published, ours)]
    return {prefix: sum(key.startswith(prefix) for key in keys) for prefix in INERT}


def table(pairs: list[Difference]) -> str:
    """The differences as a table."""
    return tabulate([(d.key, d.published, d.ours, d.reason) for d in pairs], ["value", "published", "ours", "reason"])


def _pairs(published: Config, ours: Config) -> list[Difference]:
    left, right = dict(_flat(published.to_dict())), dict(_flat(ours.to_dict()))
    pairs = [
        Difference(key, left.get(key, ABSENT), right.get(key, ABSENT)) for key in sorted(left.keys() | right.keys())
    ]
    return [pair for pair in pairs if pair.published != pair.ours]


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list | tuple) and value:
        items = {str(i): item for i, item in enumerate(value)}.items()
    else:
        yield prefix, value if value != () else []
        return
    for name, item in items:
        yield from _flat(item, f"{prefix}.{name}" if prefix else name)


def main() -> None:
    """Prints every difference with its reason."""
    published, ours = Config.fromfile(PUBLISHED), Config.fromfile(NATIVE)
    print(f"{len(dict(_flat(published.to_dict())))} values of {PUBLISHED.name}; those that differ:\n")
    print(table(differences(published, ours)))
    print("\nDifferent values that nothing reads:\n")
    counts = inert_differences(published, ours)
    print(tabulate([(key, count, INERT[key]) for key, count in counts.items() if count], ["key", "values", "reason"]))


if __name__ == "__main__":
    main()
