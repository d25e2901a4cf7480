"""What a model is that is taken as it is."""

from dataclasses import dataclass, field
from typing import Any

from crossmae.parsing import Count, CountOrZero, NotEmpty, Strict
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD, RGB, Interpolation


@dataclass(frozen=True)
class WrappedSpec(Strict):
    """Whose code builds a model, how it is built, and what a task must know of it."""

    model: NotEmpty
    """timm's name of the model."""
    options: dict[str, Any]
    """Arguments of its constructor over those of the name, as plain values."""
    source: str
    staged: bool
    """Whether its maps have several strides, as a ConvNet's stages do; a ViT's blocks have one."""
    depth: Count
    """Blocks or stages whose maps can be taken."""
    embed_dim: Count
    """Channels of the last map."""
    patch_size: Count
    """Sides of images are multiples of it, in pixels: the patch size, or the greatest stride of stages."""
    image_size: Count
    """Side in pixels of the images that it is made for."""
    class_token: bool
    num_prefix: CountOrZero
    """Tokens in front of the patches: class tokens and registers."""
    final_norm: bool
    """Whether there is a norm after the last block that pretraining has trained."""
    mean: RGB = IMAGENET_MEAN
    """What is taken off pixels in the unit range before they go in."""
    std: RGB = IMAGENET_STD
    """What they are divided by then."""
    interpolation: Interpolation = "bicubic"
    """By which images are resized."""
    pretraining: dict[str, Any] = field(default_factory=dict)
    """How the weights were made, as far as the source says."""

    @property
    def function(self) -> list[Any]:
        """What decides next to the weights what the model computes."""
        return [self.model, self.options]
