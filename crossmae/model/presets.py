"""The vision transformers of the paper, and the small ones of the demo and of suite mini."""

from types import MappingProxyType
from typing import Any

from crossmae.errors import UserError
from crossmae.model.config import MAEConfig

# Released code, models_cross.py and models_mae.py; the widths of ViT-S's decoder are not in the paper.
PRESETS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "vit_s16": {
            "patch_size": 16,
            "embed_dim": 384,
            "depth": 12,
            "num_heads": 6,
            "decoder_embed_dim": 256,
            "decoder_num_heads": 8,
        },
        "vit_b16": {"patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12},
        "vit_l16": {"patch_size": 16, "embed_dim": 1024, "depth": 24, "num_heads": 16},
        "vit_h14": {"patch_size": 14, "embed_dim": 1280, "depth": 32, "num_heads": 16},
        "vit_demo": {
            "image_size": 64,
            "patch_size": 8,
            "embed_dim": 128,
            "depth": 4,
            "num_heads": 2,
            "decoder_embed_dim": 96,
            "decoder_depth": 2,
            "decoder_num_heads": 3,
        },
        # Deep enough for the paper's ablations: several maps to mix, decoders of 1 to 12 blocks.
        "vit_mini": {
            "image_size": 64,
            "patch_size": 8,
            "embed_dim": 96,
            "depth": 8,
            "num_heads": 3,
            "decoder_embed_dim": 64,
            "decoder_num_heads": 2,
        },
    }
)


def preset_config(preset: str, /, **overrides: Any) -> MAEConfig:
    """The configuration of ``preset`` with ``overrides`` named as in MAEConfig.

    Raises:
        UserError: unknown preset or option, or a value that MAEConfig refuses.
    """
    if preset not in list(PRESETS):
        raise UserError(f"no model preset {preset!r}", f"the presets are {', '.join(PRESETS)}")
    return MAEConfig.from_dict({**PRESETS[preset], **overrides})


def arch_of(embed_dim: int, depth: int, patch_size: int) -> str | None:
    """Name of the preset with these dimensions, or None."""
    for name, values in PRESETS.items():
        if (values["embed_dim"], values["depth"], values["patch_size"]) == (embed_dim, depth, patch_size):
            return name
    return None
