"""The task as the benchmark sees it."""

import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from segmentation.task import UperNetTask
from transfer.task import Context, TaskSpec

SPEC = TaskSpec("ade20k_upernet", 1, "", "segmentation.task:UperNetTask", "ade20k", ("miou",), "segmentation")


def test_the_task_file_names_this_class() -> None:
    content = yaml.safe_load((files("transfer") / "tasks/ade20k_upernet.yaml").read_text())
    assert content["adapter"] == "segmentation.task:UperNetTask"
    assert content["metrics"] == ["miou", "aacc", "macc"]


def test_importing_the_task_loads_no_engine() -> None:
    code = (
        "import sys, segmentation.task; print([m for m in ('mmengine', 'mmcv', 'mmseg', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_mmsegmentation_is_one_line_with_the_command(
    backbone: Backbone,
    small_recipe: Callable[..., Recipe],
    context_in: Callable[[Path], Context],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("segmentation.task.find_spec", lambda name: None if name == "mmseg" else True)
    with pytest.raises(UserError, match=r"needs mmsegmentation \(mmseg is not installed\); run `make setup`$"):
        UperNetTask(SPEC).run(backbone, small_recipe(), context_in(tmp_path))


def test_a_backbone_is_needed(
    small_recipe: Callable[..., Recipe], context_in: Callable[[Path], Context], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="needs a backbone"):
        UperNetTask(SPEC).run(None, small_recipe(), context_in(tmp_path))
