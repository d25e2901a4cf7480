"""Folders of transformers' models that are no plain ViTs, each with its own features."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.support.vit_files import IMAGES, SIDE, drawn

SIZE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
VISION = {**SIZE, "image_size": SIDE, "patch_size": 8}
TEXT = {**SIZE, "vocab_size": 8, "projection_dim": 8}


@dataclass(frozen=True)
class Original:
    """A folder, and the features of the model that wrote it."""

    folder: Path
    tokens: Tensor
    """(2, tokens, 64), after the final norm."""
    pooled: Tensor
    """(2, 64)."""


def _saved(model: Any, folder: Path, body: Any, norm: Any = None) -> Original:
    model.save_pretrained(folder)
    with torch.no_grad():
        out = body(IMAGES)
        return Original(folder, norm(out.last_hidden_state) if norm else out.last_hidden_state, out.pooler_output)


def _alone(kind: str, **options: Any) -> Callable[[Path], Original]:
    def make(folder: Path) -> Original:
        model = getattr(transformers, kind)
        model = drawn(model(model.config_class(**{**VISION, **options})))
        # CLIP's tokens are those before its final norm.
        return _saved(model, folder, model, getattr(model, "post_layernorm", None) if "CLIP" in kind else None)

    return make


def _tower(kind: str) -> Callable[[Path], Original]:
    """The image tower of a model with a text tower."""

    def make(folder: Path) -> Original:
        config = getattr(transformers, f"{kind}Config")(text_config=TEXT, vision_config=VISION)
        model = drawn(getattr(transformers, f"{kind}Model")(config))
        tower = model.vision_model
        return _saved(model, folder, tower, tower.post_layernorm if kind == "CLIP" else None)

    return make


GATED = {"use_gated_mlp": True, "hidden_act": "silu", "num_register_tokens": 4}

FOLDERS: dict[str, Callable[[Path], Original]] = {
    "transformers DINOv3": _alone("DINOv3ViTModel", num_register_tokens=4),
    "transformers DINOv3, gated MLPs": _alone("DINOv3ViTModel", **GATED),
    "transformers DINOv2, gated MLPs": _alone("Dinov2Model", use_swiglu_ffn=True, mlp_ratio=4),
    "transformers DINOv2 with registers, gated MLPs": _alone("Dinov2WithRegistersModel", use_swiglu_ffn=True),
    "transformers CLIP, image tower": _alone("CLIPVisionModel"),
    "transformers CLIP, exact GELU": _alone("CLIPVisionModel", hidden_act="gelu"),
    "transformers CLIP": _tower("CLIP"),
    "transformers SigLIP, image tower": _alone("SiglipVisionModel"),
    "transformers SigLIP": _tower("Siglip"),
}
"""Each kind of folder."""
