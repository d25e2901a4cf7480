"""``precision: auto`` trains in bf16 where the processor multiplies in it, and in fp32 elsewhere."""

from itertools import repeat

import pytest
import torch

from crossmae.analysis.speed import synthetic_batch
from crossmae.errors import UserError
from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import load_pretraining_recipe
from crossmae.pretraining.workload import Autoencoding
from crossmae.train.config import split_batch
from crossmae.train.runtime.distributed import World
from crossmae.train.runtime.precision import matmul_precision, settled
from crossmae.train.step import Updates


def losses(precision: str) -> list[float]:
    values = ("global_batch=8", f"precision={precision}")
    chosen = read_recipe(load_pretraining_recipe("demo_crossmae", values), seed=0)
    split = split_batch(chosen.plan.global_batch, 1, chosen.execution.per_device_batch)
    world = World(0, 1, torch.device("cpu"))
    updates = Updates(Autoencoding(chosen), chosen.plan, chosen.execution, world, split)
    updates.prepare()
    torch.manual_seed(0)
    batches = repeat(synthetic_batch(chosen, split.micro_batch, world.device))
    return [updates.make(step, 1e-3, batches, stop=False).item() for step in range(3)]


@pytest.mark.parametrize(
    ("instructions", "precision"), [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({}, "fp32")]
)
def test_auto_is_what_the_processor_multiplies_in(
    instructions: dict[str, bool], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: instructions)
    assert losses("bf16") != losses("fp32")
    assert losses("auto") == losses(precision)


def test_unknown_precisions_are_refused() -> None:
    with pytest.raises(UserError, match="precision must be auto, fp32 or bf16, not 'fp16'"):
        settled("fp16", torch.device("cpu"))
    with (
        pytest.raises(UserError, match="matmul_precision must be highest, high or medium, not 'low'"),
        matmul_precision("low"),
    ):
        pass
