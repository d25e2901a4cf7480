"""Our ViTDet configurations against upstream's, value by value: ``python -m detection.build.compare``.

Upstream is what detectron2 packages (models, data, optimizer, trainer defaults), with what its ViTDet project sets over
it (``upstream.yaml``, because the package does not hold the project).
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from detectron2 import model_zoo
from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from tabulate import tabulate

FILES = {"b": "mask_rcnn_vitdet_b_100ep", "l": "mask_rcnn_vitdet_l_100ep", "h": "mask_rcnn_vitdet_h_75ep"}
PARTS = ("model", "dataloader", "optimizer", "lr_multiplier", "train")
CONFIGS = Path(__file__).parents[1] / "configs"

REASONS = {
    "model._target_": "random samples keyed by image; same parameters",
    "model.proposal_generator._target_": "random samples keyed by image; same parameters",
    "model.roi_heads._target_": "random samples keyed by image; same parameters",
    "model.roi_heads.box_predictor._target_": "loss averaged within each image, as upstream's one image per GPU",
    "model.roi_heads.mask_head._target_": "loss averaged within each image, as upstream's one image per GPU",
    "model.backbone.net._target_": "fused attention and activation checkpointing without fairscale; same function",
    "model.backbone.net.fused_attention": "execution only",
    "model.backbone.net.activation_checkpointing": "execution only",
    "model.backbone.net.pretrain_img_size": "ViT-H/14 has 16 x 16 positions, not 14 x 14",
    "lr_multiplier.warmup_length": "187.5 iterations; upstream's share of a length rounded down is 187.4997",
    "train.init_checkpoint": "the backbone is whatever is being measured",
}


@dataclass(frozen=True)
class Row:
    """One value; ``reason`` is None where a difference has no explanation, and empty where there is no difference."""

    name: str
    ours: Any
    upstream: Any
    reason: str | None

    @property
    def differs(self) -> bool:
        """Whether the two are not the same."""
        return bool(self.ours != self.upstream)


def compare(size: str) -> list[Row]:
    """Every value of ViT-``size`` (``b``, ``l`` or ``h``) in either configuration."""
    ours, upstream = our_values(size), upstream_values(size)
    names = sorted(set(ours) | set(upstream))
    return [_row(name, _value(name, ours), _value(name, upstream)) for name in names]


def our_values(size: str) -> dict[str, Any]:
    """The values of our native file by dotted name."""
    config = LazyConfig.load(str(CONFIGS / f"{FILES[size]}.py"))
    return flatten({part: config[part] for part in PARTS})


def upstream_values(size: str) -> dict[str, Any]:
    """The values of upstream's file of the same name."""
    packaged = {
        "model": model_zoo.get_config("common/models/mask_rcnn_vitdet.py").model,
        "dataloader": model_zoo.get_config("common/data/coco.py").dataloader,
        "optimizer": model_zoo.get_config("common/optim.py").AdamW,
        "train": model_zoo.get_config("common/train.py").train,
    }
    project = yaml.safe_load(Path(__file__).with_name("upstream.yaml").read_text())
    changed = project["b"] if size == "b" else {**project["b"], **project[size]}
    values = flatten(packaged)
    for name, value in changed.items():
        for old in [old for old in values if old == name or old.startswith(f"{name}.")]:
            del values[old]
        values.update(flatten(value, name))
    return values


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """``{"model.backbone.net.depth": 12, ...}``; classes and functions by qualified name, tuples as lists."""
    if isinstance(config, Mapping | DictConfig) and len(config):
        values: dict[str, Any] = {}
        for key in config:
            values.update(flatten(config[key], f"{prefix}.{key}" if prefix else str(key)))
        return values
    if isinstance(config, partial):
        return flatten({"func": config.func, **config.keywords}, prefix)
    return {prefix: plain(config)}


def plain(value: Any) -> Any:
    """Lists, numbers and text."""
    if isinstance(value, ListConfig | list | tuple):
        return [flatten(item, "").get("", flatten(item, "")) for item in value]
    if isinstance(value, DictConfig):
        return OmegaConf.to_container(value)
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return f"{value.__module__}.{value.__qualname__}"
    return value


def _row(name: str, ours: Any, upstream: Any) -> Row:
    return Row(name, ours, upstream, "" if ours == upstream else REASONS.get(name))


def _value(name: str, values: dict[str, Any]) -> Any:
    """The value called ``name``, or the default of the class that would be given it."""
    if name in values:
        return values[name]
    parent, _, leaf = name.rpartition(".")
    target = values.get(f"{parent}._target_")
    return _default(target, leaf) if target else "not set"


def _default(target: str, argument: str) -> Any:
    owner, _, kind = target.rpartition(".")
    parameters = inspect.signature(getattr(import_module(owner), kind)).parameters
    if argument not in parameters or parameters[argument].default is inspect.Parameter.empty:
        return "not set"
    return flatten(parameters[argument].default, "value").get("value")


def _lines(rows: list[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        yield row.name, str(row.ours), "=" if not row.differs else str(row.upstream), row.reason or ""


def main() -> None:
    """Prints one table per size."""
    for size in FILES:
        print(f"\n{FILES[size]}")
        print(tabulate(list(_lines(compare(size))), headers=("value", "ours", "upstream", "reason"), tablefmt="github"))


if __name__ == "__main__":
    main()
