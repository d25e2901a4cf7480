"""Evaluation of a finished model: ours, mmsegmentation's released UperNet-MAE, or any mmengine checkpoint of one."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from crossmae.backbone import BackboneSpec
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from segmentation.run import configure
from transfer.task import Context

State = dict[str, Tensor]


def evaluate(weights: Path, recipe: Recipe, context: Context) -> dict[str, float]:
    """Validation metrics in percent of the UperNet in ``weights``, in as many processes as torchrun started.

    Raises:
        UserError: no such file, no UperNet of this recipe in it, or unusable data.
    """
    state = read(weights)
    with join_world("auto") as world, matmul_precision(recipe.execution["matmul_precision"]):
        runner = Runner.from_cfg(configure(spec_of(state), recipe, context))
        world.adopt(runner.model)
        model = getattr(runner.model, "module", runner.model)
        _check(state, model.state_dict(), weights)
        model.load_state_dict(state)
        metrics: dict[str, float] = runner.val()
        return metrics


def read(path: Path) -> State:
    """The weights in an mmengine checkpoint (or a bare state), loaded without running code from it."""
    try:
        with _mmengine_objects_as_blanks():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"{path} is no readable checkpoint: {' '.join(str(error).split())[:160]}") from error
    state = content.get("state_dict", content)
    if "backbone.cls_token" not in state:
        raise UserError(f"{path} holds no UperNet on a MAE backbone: it has no weight backbone.cls_token")
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def spec_of(state: State) -> BackboneSpec:
    """The backbone's dimensions, as far as they can be told from the weights of an UperNet."""
    token, kernel = state["backbone.cls_token"], state["backbone.patch_embed.projection.weight"]
    depth = len({match[1] for name in state if (match := re.match(r"backbone\.layers\.(\d+)\.", name))})
    hidden = state["backbone.layers.0.ffn.layers.0.0.weight"].shape[0]
    side = round((state["backbone.pos_embed"].shape[1] - token.shape[1]) ** 0.5)
    return BackboneSpec(
        arch=None,
        embed_dim=token.shape[2],
        depth=depth,
        num_heads=state["backbone.layers.0.attn.relative_position_bias_table"].shape[1],
        patch_size=kernel.shape[-1],
        image_size=side * kernel.shape[-1],
        mlp_ratio=hidden / token.shape[2],
        class_token=token.shape[1] > 0,
        num_registers=max(0, token.shape[1] - 1),
        final_norm=False,
        layer_scale=True,
        source="a finished model",
    )


def _check(state: State, places: State, path: Path) -> None:
    wrong = sorted(state.keys() ^ places.keys()) or sorted(n for n in state if state[n].shape != places[n].shape)
    if wrong:
        raise UserError(f"{path} does not fit this recipe: {len(wrong)} weights differ, {wrong[0]} for one")


class _Blank:
    """Stands for an object that is not looked at."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


@contextmanager
def _mmengine_objects_as_blanks() -> Iterator[None]:
    """mmengine's checkpoints hold log buffers beside the weights; unpickling builds blanks in their place."""
    names = ["mmengine.logging.history_buffer.HistoryBuffer", "builtins.getattr", "builtins.slice"]
    numpy = ["multiarray._reconstruct", "multiarray.scalar"]
    names += [f"numpy.{core}.{name}" for core in ("core", "_core") for name in numpy]
    names += ["numpy.ndarray", "numpy.dtype"]
    with torch.serialization.safe_globals([(_Blank, name) for name in names]):
        yield
