"""What decides the numbers of an UperNet run: the typed form of a recipe's ``protocol``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """The values of mmsegmentation's MAE configurations that recipes choose, in pixels, images and updates."""

    classes: int
    image_scale: tuple[int, int]
    """Width and height that the resized image must fit into, either way round."""
    ratio_range: tuple[float, float]
    """Random factor on ``image_scale``."""
    crop: int
    stride: int
    """Of slide inference."""
    patch_size: int
    out_indices: tuple[int, ...]
    """Blocks that the pyramid is made of, from 0."""
    layer_scale: float
    """Start value; 1 is none."""
    drop_path: float
    channels: int
    """Of UPerHead."""
    aux_channels: int
    """Of the auxiliary FCN head."""
    batch_size: int
    lr: float
    weight_decay: float
    layer_decay: float
    warmup_steps: int
    max_steps: int
