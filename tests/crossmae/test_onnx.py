"""The exported graph against the features that it was made of, run by ONNX's own reference evaluator."""

from pathlib import Path

import pytest
import torch
from onnx.reference import ReferenceEvaluator

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.onnx import OUTPUTS, export_onnx
from tests.support.families import backbone_of


def assert_equal(graph: Path, backbone: Backbone, size: int) -> None:
    """On another number of images than the graph was traced with."""
    features = backbone.features(size).eval()
    images = torch.rand(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.about.mean, backbone.about.std))
    with torch.no_grad():
        wanted = features((images - mean) / std)
    found = ReferenceEvaluator(str(graph)).run(list(OUTPUTS), {"images": images.numpy()})
    for got, want in zip(found, (wanted.pooled, wanted.prefix, wanted.maps[-1]), strict=True):
        torch.testing.assert_close(torch.from_numpy(got), want, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_graph_of_a_plain_vit_gives_its_features_of_images_from_0_to_1(tmp_path: Path) -> None:
    export_onnx("random:vit_demo", tmp_path / "vit.onnx")
    assert_equal(tmp_path / "vit.onnx", Backbone.load("random:vit_demo"), 64)


@pytest.mark.slow
def test_graph_of_a_wrapped_model_gives_its_features(tmp_path: Path) -> None:
    backbone = backbone_of("RoPE (DINOv3)")
    backbone.save(tmp_path / "model")
    export_onnx(str(tmp_path / "model"), tmp_path / "rope.onnx")
    assert_equal(tmp_path / "rope.onnx", backbone, 64)


def test_weights_beyond_the_limit_of_the_format_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crossmae.onnx._MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than the 2 GB that an ONNX file holds"):
        export_onnx("random:vit_demo", tmp_path / "vit.onnx")
    assert list(tmp_path.iterdir()) == []
