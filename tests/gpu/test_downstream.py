"""Detection and segmentation on a GPU: fused attention is the engines' own within half precision, and steps run."""

from importlib import import_module

import pytest
import torch
from detectron2.modeling.backbone.vit import Attention

from benchmarks.downstream.cases import Size
from detection.model import FusedAttention


@pytest.mark.parametrize("relative", [True, False])
def test_fused_attention_in_bf16_equals_detectron2_in_fp32(relative: bool) -> None:
    torch.manual_seed(0)
    stock = Attention(64, num_heads=2, use_rel_pos=relative, rel_pos_zero_init=False, input_size=(14, 14)).cuda()
    x = torch.randn(2, 14, 14, 64, device="cuda")
    expected = stock(x)
    stock.__class__ = FusedAttention
    with torch.autocast("cuda", torch.bfloat16):
        output = stock(x)
    torch.testing.assert_close(output.float(), expected, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(("engine", "recipe"), [("vitdet", "coco_vitdet_demo"), ("upernet", "ade20k_upernet_demo")])
def test_a_step_in_bf16_runs(engine: str, recipe: str) -> None:
    build = import_module(f"benchmarks.downstream.{engine}").BUILD["ours"]
    step = build(Size(recipe, batch=4, image_size=64, warmup=0, steps=2), torch.device("cuda"))
    step()
    step()
