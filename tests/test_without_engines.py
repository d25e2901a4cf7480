"""Where detectron2 and mmsegmentation cannot be imported, everything that does not need them works all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SUITE = {
    "title": "Three engines, of which one is installed",
    "data": "demo",
    "backbones": {"crossmae": {"pretrain": "demo_crossmae"}},
    "tasks": {"imagenet_finetune": "demo", "coco_vitdet": "demo", "ade20k_upernet": "demo"},
    "seeds": [0],
    "overrides": {"pretrain": ["steps=4", "warmup_steps=1"], "imagenet_finetune": ["steps=2"]},
}
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['detectron2', 'mmcv', 'mmengine', 'mmseg']))"


@pytest.mark.slow
def test_pretraining_and_classification_work_without_the_other_engines(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    code, output = run_all(tmp_path, PYTHONPATH=str(tmp_path / "without"))
    assert code == 1, output
    done = [json.loads(path.read_text())["task"]["name"] for path in tmp_path.glob("out/*/*/*/record.json")]
    assert sorted(done) == ["imagenet_finetune", "pretrain"]
    for task in ("coco_vitdet", "ade20k_upernet"):
        lines = [line for line in output.splitlines() if task in line and "make setup" in line]
        assert lines, output


def run_all(folder: Path, **variables: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "from transfer.cli import run_all_main; run_all_main()"]
    options = ["--suite", "suite.yaml", "--out", "out", "--devices", "cpu:2"]
    environment = {**os.environ, **variables, "COLUMNS": "300"}
    done = subprocess.run(
        [*command, *options], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout
