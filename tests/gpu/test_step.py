"""Training steps on a GPU: one graph, compiled or captured with the same losses, and how much of the GPU they use."""

from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
import torch
from torch._dynamo import explain

from crossmae import MaskedAutoencoder
from crossmae.analysis.speed import measure, synthetic_batch
from crossmae.model.presets import preset_config
from crossmae.pretraining.recipe import PretrainRecipe, read_recipe
from crossmae.pretraining.run import load_pretraining_recipe
from crossmae.pretraining.workload import Autoencoding
from crossmae.train.config import split_batch
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision
from crossmae.train.step import Updates

UPDATES = 12


def demo(**execution: Any) -> PretrainRecipe:
    chosen = read_recipe(load_pretraining_recipe("demo_crossmae", ("global_batch=16", "precision=fp32")), seed=0)
    return replace(chosen, execution=replace(chosen.execution, device="cuda", **execution))


def losses(chosen: PretrainRecipe) -> list[float]:
    """Losses of updates on batches that differ, so that a replay on old inputs would show."""
    with join_world("cuda") as world, matmul_precision("highest"):
        split = split_batch(chosen.plan.global_batch, world.size, chosen.execution.per_device_batch)
        torch.manual_seed(1)
        batches = [synthetic_batch(chosen, split.micro_batch, world.device) for _ in range(5)]
        updates = Updates(Autoencoding(chosen), chosen.plan, chosen.execution, world, split)
        updates.prepare()
        supply = cycle(batches)
        return [updates.make(step, 1e-3, supply, stop=False).mean().item() for step in range(UPDATES)]


@pytest.mark.parametrize("options", [{}, {"decoder": "self"}, {"decoder": "cross+self"}])
def test_no_graph_break(options: dict[str, Any]) -> None:
    model = MaskedAutoencoder(preset_config("vit_b16", **options)).cuda()
    images, noise = torch.randn(2, 3, 224, 224, device="cuda"), torch.rand(2, 196, device="cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        explanation = explain(model)(images, noise=noise)
    assert explanation.graph_break_count == 0, explanation.break_reasons


@pytest.mark.parametrize("per_device_batch", [16, 8], ids=["CUDA graphs", "accumulation without them"])
def test_compiled_updates_have_the_losses_of_eager_ones(per_device_batch: int) -> None:
    eager = losses(demo(per_device_batch=per_device_batch))
    compiled = losses(demo(per_device_batch=per_device_batch, compile=True))
    assert compiled == pytest.approx(eager, rel=1e-3)


@pytest.mark.parametrize("compiled", [False, True])
def test_an_update_never_waits_for_the_gpu(compiled: bool) -> None:
    chosen = demo(compile=compiled)
    with join_world("cuda") as world:
        split = split_batch(chosen.plan.global_batch, world.size, chosen.execution.per_device_batch)
        updates = Updates(Autoencoding(chosen), chosen.plan, chosen.execution, world, split)
        updates.prepare()
        supply = cycle([synthetic_batch(chosen, split.micro_batch, world.device)])
        for step in range(4):
            updates.make(step, 1e-3, supply, stop=False)
        torch.cuda.set_sync_debug_mode("error")
        try:
            updates.make(4, 1e-3, supply, stop=False)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "batch"), [("crossmae25_vit_b16", 512), ("crossmae25_vit_l16", 256)])
def test_report_how_much_of_the_gpu_is_used(recipe: str, batch: int, capsys: pytest.CaptureFixture[str]) -> None:
    values = (f"global_batch={batch}", f"per_device_batch={batch}", "compile=true")
    speed = measure(read_recipe(load_pretraining_recipe(recipe, values), seed=0), device="cuda")
    with capsys.disabled():
        mfu = "unknown" if speed.mfu is None else f"{speed.mfu:.1%}"
        print(f"\n{recipe} on {speed.device}: {speed.images_per_second:.0f} images/s, MFU {mfu}")
    assert speed.images_per_second > 0
