"""Native use as the documentation describes it: exported weights arrive through mmsegmentation's own ``pretrained``."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from segmentation.build.common import NATIVE
from segmentation.export import export
from segmentation.weights import convert

SMALL = """
_base_ = "{native}"
model = dict(
    pretrained="{weights}",
    backbone=dict(img_size=(96, 96), patch_size=8, embed_dims=128, num_layers=4, num_heads=2, out_indices=[0, 1, 2, 3]),
    neck=dict(embed_dim=128),
    decode_head=dict(in_channels=[128] * 4, channels=16),
    auxiliary_head=dict(in_channels=128, channels=16),
)
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.py"
    path.write_text(SMALL.format(native=NATIVE, weights=tmp_path / "pretrain" / "backbone.pth"))
    return path


def test_exported_weights_arrive_through_pretrained(config: Path, tmp_path: Path) -> None:
    export("random:vit_demo", tmp_path / "pretrain" / "backbone.pth", config)
    init_default_scope("mmseg")
    model = MODELS.build(Config.fromfile(config).model)
    model.init_weights()
    arrived = model.backbone.state_dict()
    given = convert(Backbone.load("random:vit_demo"), (12, 12), 8)
    assert len(given) > 40
    assert all(torch.equal(arrived[name], weight) for name, weight in given.items())


@pytest.mark.parametrize(
    ("source", "blocks", "reason"),
    [("random:vit_s16", 4, "no place for layers"), ("random:vit_s16", 12, "another shape of cls_token")],
)
def test_a_backbone_of_another_size_is_refused(
    source: str, blocks: int, reason: str, config: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text().replace("num_layers=4", f"num_layers={blocks}"))
    with pytest.raises(UserError, match=f"does not fit mmsegmentation's MAE: {reason}"):
        export(source, tmp_path / "backbone.pth", config)
    assert not (tmp_path / "backbone.pth").exists()
