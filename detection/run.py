"""What training and evaluation of a detector share: the run, its data and its model. Imports detectron2."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch
from detectron2.config import instantiate
from detectron2.utils import comm

from crossmae.backbone import Backbone
from crossmae.data.decode import allow_known_formats_only
from crossmae.recipe import Recipe
from crossmae.train.runtime.distributed import World, join_world
from crossmae.train.runtime.precision import matmul_precision
from detection.build.config import check_dims
from detection.build.dims import Dims
from detection.build.loader import loader_config
from detection.build.model import model_config
from detection.data.register import read_dicts, register
from detection.data.samples import KeyedSamples
from detection.recipe import Masks, VitDetExecution, VitDetProtocol, read_recipe
from detection.wrapped import wrapped_config
from transfer.task import Context


@dataclass(frozen=True)
class VitDetRun:
    """What is to be done, on what backbone, on which processes, and where the results go."""

    protocol: VitDetProtocol
    execution: VitDetExecution
    net: Dims | Backbone
    """Dimensions for detectron2's ViT, or a backbone to wrap."""
    world: World
    context: Context
    masks: Masks = "polygon"


@contextmanager
def start_run(recipe: Recipe, context: Context, net: Dims | Backbone, masks: Masks = "polygon") -> Iterator[VitDetRun]:
    """Joins the run's processes for as long as the block lasts.

    Raises:
        UserError: the recipe is faulty or was written for a backbone of another depth.
    """
    values = read_recipe(recipe)
    allow_known_formats_only()
    if isinstance(net, Dims):
        check_dims(values.protocol, net)
    precision = values.execution.matmul_precision
    with join_world("auto") as world, forgetting_groups(), matmul_precision(precision):
        yield VitDetRun(values.protocol, values.execution, net, world, context, masks)


@contextmanager
def forgetting_groups() -> Iterator[None]:
    """Has detectron2 forget the process group that it keeps for the life of the process.

    A group that is still held when Python ends aborts the process now and then: its threads hold tensors.
    """
    try:
        yield
    finally:
        comm._get_global_gloo_group.cache_clear()


USABLE = (117_266, 5_000)
"""Images of COCO 2017 to train on (those with an object that is no crowd) and to evaluate."""


@dataclass(frozen=True)
class CocoData:
    """Both splits in detectron2's format, and the configuration of their loaders."""

    loaders: Any
    train: list[dict[str, Any]]
    val: list[dict[str, Any]]
    kinds: tuple[str, ...]
    """What is evaluated: ``bbox``, and ``segm`` where there are masks."""

    @classmethod
    def read(cls, run: VitDetRun) -> Self:
        """Reads the annotations under the run's data root.

        Raises:
            UserError: they are missing, unusable, or have another number of categories than the recipe.
        """
        root = run.context.data_root
        assert root is not None
        train, val = (
            read_dicts(root, split, run.protocol.classes, run.masks is not None) for split in ("train", "val")
        )
        names = register(root, "train"), register(root, "val")
        loaders = loader_config(run.protocol, names, run.execution.workers, run.execution.test_batch, run.masks)
        return cls(loaders, train, val, ("bbox", "segm") if run.masks else ("bbox",))

    def departures(self) -> Iterator[str]:
        """How the numbers of images differ from COCO 2017's."""
        for images, usable, split in zip((self.train, self.val), USABLE, ("training", "validation"), strict=True):
            if len(images) != usable:
                yield f"{len(images):,} {split} images (COCO 2017: {usable:,})"

    def samples(self, seed: int) -> KeyedSamples:
        """The training images as augmented samples, which follow from ``seed``, epoch and index alone."""
        return KeyedSamples(self.train, instantiate(self.loaders.train.mapper), seed)


def build_model(run: VitDetRun, relative_positions: bool) -> Any:
    """Builds the detector with initial weights, which follow from the run's seed, on the run's device.

    A wrapped backbone has its own weights already, if it has any.
    """
    execution, device = run.execution, run.world.device
    fused = execution.attention == "fused" or (execution.attention == "auto" and device.type == "cuda")
    torch.manual_seed(run.context.seed)
    recompute, masks = execution.activation_checkpointing, run.masks is not None
    if isinstance(run.net, Dims):
        config = model_config(run.protocol, run.net, relative_positions, fused, recompute, masks)
    else:
        config = wrapped_config(run.protocol, run.net, recompute, masks)
    return instantiate(config).to(device)
