"""Models that a function of the user's own makes, and files that ask for one."""

import json
from pathlib import Path

import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from transfer.harness.plan.lineage import lineage_of_source

MODULE = """
from pathlib import Path
from timm.models.eva import Eva

Path(__file__).with_name("imported").touch()

def rotary(**options):
    values = dict(img_size=64, patch_size=8, embed_dim=48, depth=4, num_heads=3, num_classes=0)
    return Eva(**values, use_abs_pos_emb=False, use_rot_pos_emb=True, use_post_norm=False, **options)

def failing():
    raise KeyError("no such thing")

def mapless():
    from torch import nn
    return nn.Linear(3, 3)
"""
IMAGES = "?mean=0.5,0.5,0.5&std=0.25,0.25,0.25"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's, new in each test."""
    name = f"models_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def function_of(module: str) -> torch.nn.Module:
    """What the user's function returns, called by the user."""
    import importlib

    torch.manual_seed(5)
    model: torch.nn.Module = importlib.import_module(module).rotary().eval()
    return model


@torch.no_grad()
def test_its_features_are_those_of_the_model_with_the_weights_of_a_file(module: str, tmp_path: Path) -> None:
    model = function_of(module)
    torch.save({"teacher": model.state_dict()}, tmp_path / "mine.pth")
    backbone = Backbone.load(f"python:{module}:rotary@{tmp_path / 'mine.pth'}{IMAGES}&key=teacher")
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(backbone.features().eval()(images).pooled, model(images))
    assert backbone.about.mean == (0.5, 0.5, 0.5)
    assert backbone.about.pretraining["wrapped"]["model"] == f"python:{module}:rotary"


def test_initial_weights_are_those_of_the_seed(module: str) -> None:
    one, same, other = (Backbone.load(f"python:{module}:rotary{IMAGES}", seed=seed).digest for seed in (1, 1, 2))
    assert one == same != other


def test_another_code_is_another_backbone_and_planning_imports_nothing(module: str, tmp_path: Path) -> None:
    source = f"python:{module}:rotary{IMAGES}"
    before = lineage_of_source(source, tmp_path / "cache.json")
    with open(tmp_path / f"{module}.py", "a") as file:
        file.write("# changed\n")
    assert lineage_of_source(source, tmp_path / "cache.json") != before
    assert not (tmp_path / "imported").exists()


def test_a_file_that_asks_for_code_is_refused_before_any_is_imported(module: str, tmp_path: Path) -> None:
    Backbone.load(f"python:{module}:rotary{IMAGES}").save(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    (tmp_path / "hostile.py").write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\ndef model(): pass\n")
    config["backbone"]["model"] = "python:hostile:model"
    (tmp_path / "saved" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="a file asks for the code python:hostile:model, which only you may name"):
        Backbone.load(tmp_path / "saved").features()
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("rotary", "does not say the mean of its images"),
        (f"failing{IMAGES}", "fails .KeyError: 'no such thing'."),
        (f"mapless{IMAGES}", "is a Linear, which gives no feature maps"),
        (f"rotary{IMAGES}&heads=3", "the model's own code says its heads"),
        (f"missing{IMAGES}", "fails .AttributeError: .* has no attribute 'missing'"),
        (f"a.b{IMAGES}", "names no function; write python:package.module:function"),
    ],
)
def test_what_cannot_be_is_one_line(module: str, function: str, line: str) -> None:
    with pytest.raises(UserError, match=line) as raised:
        Backbone.load(f"python:{module}:{function}")
    assert "\n" not in str(raised.value)
