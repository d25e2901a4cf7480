"""What a model is that is taken as it is."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crossmae.parsing import Count, CountOrZero, NotEmpty, Strict, parse_json
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD, RGB, Interpolation
from crossmae.weights.spec import BackboneSpec


@dataclass(frozen=True)
class WrappedSpec(Strict):
    """Whose code builds a model, how it is built, and what a task must know of it."""

    model: NotEmpty
    """timm's name of the model, or the user's function that makes it."""
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
    code: str | None = None
    """SHA-256 of the file with the user's function."""
    pretraining: dict[str, Any] = field(default_factory=dict)
    """How the weights were made, as far as the source says."""

    @property
    def function(self) -> list[Any]:
        """What decides next to the weights what the model computes."""
        return [self.model, self.options, *([self.code] if self.code else [])]


WRITTEN = {"crossmae_plain": BackboneSpec, "crossmae_wrapped": WrappedSpec}
"""Under one of these keys a finished model carries the specification of its backbone."""


def written(about: BackboneSpec | WrappedSpec) -> dict[str, str]:
    """The entry of a finished model's file that says what its backbone is."""
    (key,) = [key for key, kind in WRITTEN.items() if type(about) is kind]
    return {key: json.dumps(asdict(about))}


def written_in(content: Mapping[str, Any], where: str) -> BackboneSpec | WrappedSpec | None:
    """The specification that a finished model's file holds; None if it holds none.

    Raises:
        UserError: it holds one that cannot be read.
    """
    for key, kind in WRITTEN.items():
        if isinstance(text := content.get(key), str):
            about: BackboneSpec | WrappedSpec = parse_json(kind, text, f"{key} in {where}")
            return about
    return None
