"""The documentation's way without the benchmark, followed to the letter."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import torch

import segmentation
from crossmae.recipe import Recipe
from segmentation.run import evaluate
from transfer.task import Context

PAGE = Path(__file__).parents[2] / "docs" / "segmentation.md"
ROOM = Path(segmentation.__file__).parent
SHORT = (
    "train_cfg.max_iters=3 train_cfg.val_interval=3 default_hooks.checkpoint.interval=3 train_dataloader.batch_size=2"
    " train_dataloader.num_workers=0 train_dataloader.persistent_workers=False"
    " val_dataloader.num_workers=0 val_dataloader.persistent_workers=False"
)


@pytest.mark.slow
def test_the_page_works_as_written(
    data_root: Path, tmp_path: Path, small_recipe: Callable[..., Recipe], context_in: Callable[[Path], Context]
) -> None:
    section = PAGE.read_text().partition("## Without `run_all`")[2]
    blocks = [dedent(block) for block in re.findall(r"```\w+[^\n]*\n(.*?)```", section, flags=re.DOTALL)]
    export, script, command = blocks
    (tmp_path / "native.py").write_text(script)
    (tmp_path / "data" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "demo" / "ade20k").symlink_to(data_root)
    (tmp_path / "segmentation").mkdir()
    (tmp_path / "segmentation" / "configs").symlink_to(ROOM / "configs")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOM.parent), "OMP_NUM_THREADS": "1"}
    for line in (export, f"{command.strip()} {SHORT}"):
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, env=environment)
    folder = tmp_path / "runs" / "upernet_demo"
    checkpoint = folder / "iter_3.pth"
    trained = torch.load(checkpoint, weights_only=False)["state_dict"]
    initial = torch.load(tmp_path / "pretrain" / "vit_demo_upernet.pth", weights_only=True)["state_dict"]
    moved = [float((trained[f"backbone.{name}"] - weight).abs().max()) for name, weight in initial.items()]
    assert len(moved) > 40
    assert 0 < max(moved) < 0.02
    (log,) = folder.glob("*/vis_data/scalars.json")
    logged = next(json.loads(line) for line in log.read_text().splitlines() if "mIoU" in line)
    ours = evaluate(checkpoint, small_recipe("channels=64", "aux_channels=64"), context_in(tmp_path / "ours"))
    assert ours["miou"] == pytest.approx(logged["mIoU"], abs=0.01)
    assert ours["aacc"] == pytest.approx(logged["aAcc"], abs=0.01)
