"""The configuration of a masked autoencoder, and what makes one wrong: each reason in one line that names the field."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from crossmae.errors import UserError

DecoderKind = Literal["cross", "self", "cross+self"]
FeatureMaps = Literal["all", "last"] | Sequence[int]

_SIZES = ("image_size", "patch_size", "embed_dim", "depth", "num_heads", "decoder_embed_dim", "decoder_num_heads")
_CHOICES = {
    "decoder": ("cross", "self", "cross+self"),
    "mixing": ("linear", "softmax"),
    "mixing_init": ("released", "paper"),
    "masking": ("random", "grid"),
}


@dataclass(frozen=True)
class MAEConfig:
    """Everything that decides what an autoencoder computes. The values left at None are filled in on construction.

    Sources: CrossMAE sections 3.1-3.4 and Table 3 for the main fields, Tables 8, 9 and 15 for the variants.

    Raises:
        UserError: a value is out of range or does not go with another one; the line names the field.
    """

    image_size: int = 224
    """Side of the square input image in pixels."""
    patch_size: int = 16
    """Side of a square patch in pixels; divides ``image_size``."""
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    decoder: DecoderKind = "cross"
    """``cross``: masked tokens only attend to visible ones (CrossMAE); ``self``: full self-attention (MAE);
    ``cross+self``: cross-attention after self-attention among the masked tokens (Table 3a)."""
    decoder_embed_dim: int = 512
    decoder_depth: int | None = None
    """None: 12 for ``cross`` and ``cross+self``, 8 for ``self``."""
    decoder_num_heads: int = 16
    feature_maps: FeatureMaps | None = None
    """Encoder blocks whose outputs inter-block attention mixes: ``all``, block indices (-1 is the last block), or
    ``last``: no inter-block attention, the final norm of the encoder feeds every decoder block.
    None: ``all`` with cross-attention, ``last`` for ``self``. ``self`` with maps to mix is MAE with inter-block
    attention (Table 7)."""
    use_input: bool | None = None
    """Whether the embedded patches before the first block are mixed as one more map (A.5).
    None: True with ``all`` and cross-attention, else False."""
    mask_ratio: float = 0.75
    """Share of the patches hidden from the encoder."""
    prediction_ratio: float | None = None
    """Share of the patches decoded and scored, at most ``mask_ratio``. None: .25 with cross-attention, all masked
    patches for ``self``."""
    norm_pix_loss: bool = True
    """Whether the targets are normalised by each patch's own mean and variance."""
    mixing: Literal["linear", "softmax"] = "linear"
    """Whether the inter-block weights are used as they are or through a softmax over the maps (Table 8)."""
    mixing_init: Literal["released", "paper"] = "released"
    """``paper``: N(0, 1/k) for k maps, as section 3.4 states. ``released``: Xavier uniform, which is what the released
    code really does, because its general initialisation overwrites the former. The published numbers come from
    the released code, so that is the default."""
    map_projection: bool = False
    """A linear projection of every encoder map before mixing (Table 9)."""
    masking: Literal["random", "grid"] = "random"
    """``grid``: one fixed patch of every 2x2 cell is visible (Table 15); which masked ones are predicted is random."""

    def __post_init__(self) -> None:
        _check_values(self)
        cross = self.decoder != "self"
        self._fill("decoder_depth", 12 if cross else 8)
        self._fill("feature_maps", "all" if cross else "last")
        self._fill("use_input", cross and self.feature_maps == "all")
        self._fill("prediction_ratio", min(0.25, self.mask_ratio) if cross else self.mask_ratio)
        if not isinstance(self.feature_maps, str):
            object.__setattr__(self, "feature_maps", _block_indices(self.feature_maps or (), self.depth))
        _check_combination(self)

    def _fill(self, name: str, value: Any) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    @property
    def grid(self) -> int:
        """Patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """Patches of the image."""
        return self.grid**2

    @property
    def num_visible(self) -> int:
        """Patches that the encoder sees, rounded as in the released code."""
        return int(self.num_patches * (1 - self.mask_ratio))

    @property
    def num_predicted(self) -> int:
        """Patches that are decoded and scored: what the visible and the dropped ones leave, as in the released code."""
        assert self.prediction_ratio is not None
        dropped = int(self.num_patches * (self.mask_ratio - self.prediction_ratio))
        return self.num_patches - self.num_visible - dropped

    @property
    def mixed_blocks(self) -> tuple[int, ...]:
        """Encoder blocks whose outputs are mixed, ascending; empty without inter-block attention."""
        if self.feature_maps == "last":
            return ()
        return (
            tuple(range(self.depth)) if self.feature_maps == "all" else tuple(int(i) for i in self.feature_maps or ())
        )

    @property
    def num_maps(self) -> int:
        """Maps that inter-block attention mixes, the input map included; 0 without inter-block attention."""
        return len(self.mixed_blocks) + bool(self.use_input)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        values = asdict(self)
        if isinstance(self.feature_maps, tuple):
            values["feature_maps"] = list(self.feature_maps)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from plain values.

        Raises:
            UserError: an unknown key, or a value that the constructor refuses.
        """
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UserError(f"unknown model option {', '.join(unknown)}", f"the options are {', '.join(sorted(known))}")
        return cls(**values)


def _check_values(config: MAEConfig) -> None:
    """Checks every value on its own: its type and its range."""
    for name in _SIZES:
        _check_size(name, getattr(config, name))
    if config.decoder_depth is not None:
        _check_size("decoder_depth", config.decoder_depth)
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            raise UserError(f"{name} must be one of {', '.join(choices)}, not {getattr(config, name)!r}")
    for name in ("norm_pix_loss", "map_projection", "use_input"):
        value = getattr(config, name)
        if not isinstance(value, bool) and not (name == "use_input" and value is None):
            raise UserError(f"{name} must be true or false, not {value!r}")
    _check_feature_maps(config.feature_maps)
    for name in ("mask_ratio", "prediction_ratio"):
        value = getattr(config, name)
        if not (_is_number(value) and 0 < value < 1) and not (name == "prediction_ratio" and value is None):
            raise UserError(f"{name} must lie between 0 and 1, both excluded, not {value!r}")


def _check_combination(config: MAEConfig) -> None:
    """Checks the values of a filled-in configuration against each other."""
    if config.image_size % config.patch_size:
        raise UserError(f"image_size {config.image_size} is not a multiple of patch_size {config.patch_size}")
    for dim, heads in (("embed_dim", "num_heads"), ("decoder_embed_dim", "decoder_num_heads")):
        if getattr(config, dim) % getattr(config, heads):
            raise UserError(f"{heads} {getattr(config, heads)} does not divide {dim} {getattr(config, dim)}")
        if getattr(config, dim) % 4:
            raise UserError(f"{dim} must be a multiple of 4 for two-dimensional sine-cosine positions")
    assert config.prediction_ratio is not None
    if config.prediction_ratio > config.mask_ratio:
        raise UserError(
            f"prediction_ratio {config.prediction_ratio} is above mask_ratio {config.mask_ratio}",
            "only masked patches can be predicted",
        )
    _check_counts(config)
    _check_mixing(config)


def _block_indices(given: Sequence[int], depth: int) -> tuple[int, ...]:
    """Ascending, non-negative indices of the encoder blocks whose outputs are mixed."""
    if outside := [i for i in given if not -depth <= i < depth]:
        raise UserError(f"feature_maps: block {outside[0]} does not exist", f"the blocks are 0 to {depth - 1}")
    blocks = sorted({i % depth for i in given})
    if len(blocks) < len(given):
        raise UserError(f"feature_maps {list(given)} names a block twice")
    if depth - 1 not in blocks:
        raise UserError(
            f"feature_maps {list(given)} leaves out the last block ({depth - 1})",
            "the blocks above the highest one named would never train",
        )
    return tuple(blocks)


def _check_size(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_feature_maps(value: object) -> None:
    if value in (None, "all", "last"):
        return
    if isinstance(value, list | tuple) and value and all(isinstance(i, int) and not isinstance(i, bool) for i in value):
        return
    raise UserError(f"feature_maps must be all, last or a list of block indices, not {value!r}")


def _check_counts(config: MAEConfig) -> None:
    if config.num_visible < 1:
        raise UserError(f"mask_ratio {config.mask_ratio} leaves no visible patch of {config.num_patches}")
    if config.masking == "grid" and (config.mask_ratio != 0.75 or config.grid % 2):
        raise UserError(
            "masking grid keeps one patch of every 2x2 cell: it needs mask_ratio 0.75 and an even number of patches "
            f"per side, not mask_ratio {config.mask_ratio} and {config.grid}"
        )


def _check_mixing(config: MAEConfig) -> None:
    if config.feature_maps != "last":
        return
    if config.use_input:
        raise UserError("use_input needs inter-block attention: set feature_maps to all or to a list of blocks")
    if config.map_projection or config.mixing != "linear":
        name = "map_projection" if config.map_projection else "mixing"
        raise UserError(f"{name} needs inter-block attention: set feature_maps to all or to a list of blocks")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
