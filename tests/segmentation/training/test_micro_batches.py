"""An update of several micro-batches is the update of the whole batch; only batch norm sees the difference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.build.prepare import Shares, configure, shares
from segmentation.recipe import read_recipe
from transfer.task import Context

STEPS = 20


class Losses(Hook):
    def __init__(self) -> None:
        self.values: list[float] = []

    def after_train_iter(self, _runner: Runner, outputs: Any, **_: Any) -> None:
        self.values.append(float(outputs["loss"]))


def losses_without_batch_norm(backbone: Backbone, recipe: Recipe, context: Context) -> list[float]:
    """Losses of a model in which no image knows of another: group norm, no dropout."""
    config = configure(backbone.spec, read_recipe(recipe), context)
    for head in (config.model.decode_head, config.model.auxiliary_head):
        head.norm_cfg = {"type": "GN", "num_groups": 4}
        head.dropout_ratio = 0
    # Adam would amplify the rounding of gradients that are mathematically zero.
    config.optim_wrapper.optimizer = {"type": "SGD", "lr": 0.05, "weight_decay": 0.0}
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    runner, losses = Runner.from_cfg(config), Losses()
    runner.register_hook(losses)
    runner.train()
    return losses.values


@pytest.mark.slow
def test_four_micro_batches_give_the_losses_of_one(
    tmp_path: Path, backbone: Backbone, small_recipe: Callable[..., Recipe], context_in: Callable[[Path], Context]
) -> None:
    overrides = (f"steps={STEPS}", "drop_path=0.0", "crop=32", "image_scale=[128, 32]")
    one, four = (
        losses_without_batch_norm(backbone, small_recipe(*overrides, f"per_device_batch={size}"), context_in(tmp_path))
        for size in (4, 1)
    )
    assert len(one) == STEPS
    assert one[-1] < 0.95 * one[0]
    assert four == pytest.approx(one, rel=2e-3)
    assert four[0] == pytest.approx(one[0], rel=1e-6)


@pytest.mark.parametrize(
    ("processes", "per_device", "expected"),
    [(8, 2, Shares(2, 1)), (1, 2, Shares(16, 8)), (2, 3, Shares(8, 4)), (4, 16, Shares(4, 1)), (1, 16, Shares(16, 1))],
)
def test_sixteen_images_on_any_number_of_devices(processes: int, per_device: int, expected: Shares) -> None:
    assert shares(16, processes, per_device) == expected


def test_a_batch_that_does_not_divide_is_refused() -> None:
    with pytest.raises(UserError, match="16 images do not divide among 3 processes"):
        shares(16, 3, 2)
