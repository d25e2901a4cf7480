"""Timing training steps."""

import json
from pathlib import Path

import pytest
import torch

from crossmae.analysis.cost import forward_flops
from crossmae.analysis.speed import IMAGENET, data_sheet_peak, matmul_peak, measure
from crossmae.cli import main
from crossmae.pretraining.recipe import read_recipe
from crossmae.pretraining.run import load_pretraining_recipe

SMALL = ("global_batch=8", "per_device_batch=4")


def test_the_figures_of_a_step_follow_from_its_time() -> None:
    chosen = read_recipe(load_pretraining_recipe("demo_crossmae", SMALL), seed=0)
    before = torch.get_float32_matmul_precision()
    speed = measure(chosen, steps=3, warmup=1, device="cpu")
    assert torch.get_float32_matmul_precision() == before
    assert (speed.processes, speed.accumulation, speed.micro_batch) == (1, 2, 4)
    assert speed.images_per_second == pytest.approx(8 / speed.ms_per_step * 1000)
    assert speed.minutes_per_epoch == pytest.approx(IMAGENET / speed.images_per_second / 60)
    flops = 3 * sum(forward_flops(chosen.model).values())
    assert speed.flops_per_second == pytest.approx(flops * speed.images_per_second)
    assert speed.memory_bytes > 2**20
    assert speed.mfu is None


def test_the_command_prints_the_figures_and_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "speed.json"
    arguments = ["crossmae", "bench", "demo_mae", *SMALL, "--steps", "2", "--warmup", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    for name in ("ms per step", "images/s", "peak memory", "TFLOP/s", "share"):
        assert name in printed
    kept = json.loads(out.read_text())
    assert kept["recipe"] == "demo_mae"
    assert f"images/s: {kept['images_per_second']:.1f}" in printed


def test_larger_products_are_faster_than_none_and_gpus_are_known_by_name() -> None:
    assert matmul_peak(torch.device("cpu"), torch.float32, seconds=0.0) > 1e9
    assert data_sheet_peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert data_sheet_peak("NVIDIA H100 PCIe") == 756e12
    assert data_sheet_peak("cpu") is None
