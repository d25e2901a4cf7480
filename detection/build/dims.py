"""A backbone's shape and function, as far as a detector must know them."""

from dataclasses import dataclass
from typing import Self

from crossmae.backbone import BackboneSpec
from crossmae.model.blocks import NORM_EPS
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD, RGB, Activation


@dataclass(frozen=True)
class Dims:
    """Shape of a pretrained ViT; ``grid`` is the side of its position embeddings in patches."""

    embed_dim: int
    depth: int
    num_heads: int
    mlp_ratio: float
    grid: int
    class_token: bool
    activation: Activation = "gelu"
    norm_eps: float = NORM_EPS
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD

    @classmethod
    def of(cls, spec: BackboneSpec) -> Self:
        """Takes the dimensions from ``spec``."""
        return cls(
            spec.embed_dim,
            spec.depth,
            spec.num_heads,
            spec.mlp_ratio,
            spec.grid,
            spec.class_token,
            spec.activation,
            spec.norm_eps,
            spec.mean,
            spec.std,
        )


VIT_S16 = Dims(384, 12, 6, 4.0, 14, True)
VIT_B16 = Dims(768, 12, 12, 4.0, 14, True)
VIT_L16 = Dims(1024, 24, 16, 4.0, 14, True)
# 224 / 14 = 16 positions a side; upstream's pretrain_img_size stays 224, which with patches of 16 means 14 a side.
VIT_H14 = Dims(1280, 32, 16, 4.0, 16, True)
VIT_DEMO = Dims(128, 4, 2, 4.0, 8, True)
