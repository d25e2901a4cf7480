"""From a recipe and a backbone's dimensions to the five parts of a LazyConfig."""

from dataclasses import dataclass
from typing import Any

from crossmae.errors import UserError
from crossmae.recipe import load_recipe
from detection.build.dims import Dims
from detection.build.loader import loader_config
from detection.build.model import model_config
from detection.build.optimizer import optimizer_config, schedule_config, train_config
from detection.recipe import RECIPES, VitDetProtocol, read_recipe


@dataclass(frozen=True)
class NativeConfig:
    """The names that ``tools/lazyconfig_train_net.py`` looks for."""

    model: Any
    dataloader: Any
    optimizer: Any
    lr_multiplier: Any
    train: Any


def native_config(
    recipe: str,
    dims: Dims,
    relative_positions: bool = True,
    names: tuple[str, str] = ("coco_2017_train", "coco_2017_val"),
) -> NativeConfig:
    """The LazyConfig of ``recipe`` over the registered data sets ``names`` (training, test)."""
    protocol = read_recipe(load_recipe(RECIPES, recipe)).protocol
    check_dims(protocol, dims)
    return NativeConfig(
        model=model_config(protocol, dims, relative_positions),
        dataloader=loader_config(protocol, names, workers=4),
        optimizer=optimizer_config(protocol, dims),
        lr_multiplier=schedule_config(protocol),
        train=train_config(protocol),
    )


def check_dims(protocol: VitDetProtocol, dims: Dims) -> None:
    """Refuses a recipe that was written for a backbone of another depth.

    Raises:
        UserError: the last block is not the last that attends globally.
    """
    if protocol.window_size and max(protocol.global_blocks) != dims.depth - 1:
        raise UserError(
            f"the recipe's last global block is {max(protocol.global_blocks)}, but the backbone has {dims.depth} "
            "blocks, counted from 0",
            "take the recipe of the backbone's size",
        )
