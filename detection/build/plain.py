"""A LazyConfig as plain values by dotted name."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf


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
