"""Small models of timm that are no plain ViTs, one for each kind of inside, with random weights."""

from typing import Any

import torch

from crossmae.backbone import Backbone
from crossmae.weights.options import SourceOptions
from crossmae.wrapped.build import create
from crossmae.wrapped.describe import describe_model

VIT: dict[str, Any] = {"img_size": 64, "patch_size": 8, "embed_dim": 48, "depth": 4, "num_heads": 3}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "RoPE (DINOv3)": ("vit_small_patch16_dinov3", VIT),
    "RoPE and positions (EVA-02)": ("eva02_small_patch14_224", VIT),
    "SwiGLU (DINOv3 plus)": ("vit_small_plus_patch16_dinov3", VIT),
    "registers (DINOv2), patch 14": ("vit_giant_patch14_reg4_dinov2", {**VIT, "patch_size": 14, "img_size": 56}),
    "eight class tokens": ("vit_base_patch16_clip_224.openai", {**VIT, "reg_tokens": 7}),
    "no class token (SigLIP)": ("vit_base_patch16_siglip_224", VIT),
    "Hiera": ("hiera_tiny_224", {"img_size": 64, "embed_dim": 16, "num_heads": 1, "stages": [1, 1, 2, 1]}),
    "ConvNeXt": ("convnext_tiny", {"depths": [1, 1, 2, 1], "dims": [16, 24, 32, 48]}),
}


def model_of(family: str) -> Any:
    """timm's own model."""
    torch.manual_seed(0)
    model = create(*FAMILIES[family]).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms count only if they are not zeros and ones
            parameter.copy_(torch.randn(parameter.shape) * (0.1 if parameter.ndim > 1 else 0.3))
    return model


def backbone_of(family: str) -> Backbone:
    """The backbone with the same weights."""
    return Backbone(model_of(family).state_dict(), describe_model(*FAMILIES[family], family, SourceOptions()))
