"""Two mmengine configs, value by value; ``python -m segmentation.compare`` prints ours beside the published."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmseg
from mmengine.config import Config
from tabulate import tabulate

from segmentation.config import NATIVE

PUBLISHED = Path(mmseg.__file__).parent / ".mim/configs/mae/mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py"
"""mmsegmentation's own file, as its package carries it."""

ABSENT = "absent"

REASONS = {
    "data_root": "folder on this machine",
    "pretrained": "file name",
    "loss_scale": "not read by mmengine: the published training is fp32",
}

_INERT = (
    # Left over from files that the published config inherits from: read by nothing that it runs.
    "optimizer.",
    "dataset_type",
    "img_ratios",
    "tta_",
    "data_preprocessor.",
    # Names within the config file.
    "crop_size",
    "image_scale",
    "embed_dim",
    "norm_cfg.",
    "work_dir",
)


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
    """All values that differ, by dotted key; tuples equal lists, and 1 equals 1.0."""
    left, right = dict(_flat(published.to_dict())), dict(_flat(ours.to_dict()))
    keys = [key for key in sorted(left.keys() | right.keys()) if not key.startswith(_INERT)]
    pairs = [Difference(key, left.get(key, ABSENT), right.get(key, ABSENT)) for key in keys]
    return [pair for pair in pairs if pair.published != pair.ours]


def table(found: list[Difference]) -> str:
    """The differences as a table."""
    return tabulate([(d.key, d.published, d.ours, d.reason) for d in found], ["value", "published", "ours", "reason"])


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


if __name__ == "__main__":
    published_values = len(dict(_flat(Config.fromfile(PUBLISHED).to_dict())))
    print(f"{published_values} values of {PUBLISHED.name}; those that differ:\n")
    print(table(differences(Config.fromfile(PUBLISHED), Config.fromfile(NATIVE))))
