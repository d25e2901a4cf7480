"""The documentation's way without the benchmark, followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import torch

from detection.build.compare import CONFIGS

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"


@pytest.mark.slow
def test_the_page_works_as_written(coco: Path, tmp_path: Path) -> None:
    blocks = [dedent(block) for block in re.findall(r"```\w+\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)]
    export, script, command = blocks
    (tmp_path / "native.py").write_text(script)
    (tmp_path / "data" / "demo").mkdir(parents=True)
    (tmp_path / "data" / "demo" / "coco").symlink_to(coco)
    (tmp_path / "detection").mkdir()
    (tmp_path / "detection" / "configs").symlink_to(CONFIGS)
    folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(CONFIGS.parents[1])}
    short = "train.max_iter=3 dataloader.train.total_batch_size=2 dataloader.train.num_workers=0"
    for line in (export, f"{command.strip()} {short}"):
        subprocess.run(line, shell=True, check=True, cwd=tmp_path, env=environment)
    trained = torch.load(tmp_path / "output" / "model_final.pth", weights_only=True)["model"]
    initial = torch.load(tmp_path / "init.pth", weights_only=True)["model"]
    for name, weight in initial.items():
        assert 0 < (trained[name] - weight).abs().max() < 0.02, name
