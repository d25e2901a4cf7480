"""Values that make no sense are refused before anything starts, each in one line."""

import pytest

from crossmae.errors import UserError
from crossmae.pretraining.run import load_pretraining_recipe
from crossmae.train.config import TrainPlan


@pytest.mark.parametrize(
    "override",
    [
        "clip_grad=0",
        "clip_grad=-1",
        "crop_scale=[5,9]",
        "crop_scale=[1,.2]",
        "crop_scale=[0,1]",
        "crop_scale=[.2]",
        "flip=5",
        "flip=-.1",
        "weight_decay=-1",
        "min_lr=-1",
        "warmup_steps=-5",
        "betas=[.9,1]",
        "base_lr=0",
        "base_lr=.nan",
        "global_batch=0",
        "steps=0",
        "keep=0",
        "per_device_batch=0",
        "log_every=0",
        "checkpoint_every=0",
        "milestone_every=0",
        "workers=-1",
        "workers=true",
        "attention=fast",
    ],
)
def test_a_value_out_of_its_range_is_one_line_that_names_it(override: str) -> None:
    with pytest.raises(UserError) as error:
        load_pretraining_recipe("demo_crossmae", (override,))
    assert override.partition("=")[0] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "values", [{"lr": -1.0}, {"clip_grad": 0.0}, {"warmup_epochs": -1.0}, {"min_lr": float("nan")}]
)
def test_an_engines_plan_has_the_same_ranges(values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(values))):
        TrainPlan(**{"global_batch": 8, "lr": 1e-3, "steps": 5, **values})  # type: ignore[arg-type]
