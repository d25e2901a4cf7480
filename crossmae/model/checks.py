"""What makes a configuration wrong, each reason in one line that names the field."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from crossmae.errors import UserError

if TYPE_CHECKING:
    from crossmae.model.config import MAEConfig

_SIZES = ("image_size", "patch_size", "embed_dim", "depth", "num_heads", "decoder_embed_dim", "decoder_num_heads")
_CHOICES = {
    "decoder": ("cross", "self", "cross+self"),
    "mixing": ("linear", "softmax"),
    "mixing_init": ("released", "paper"),
    "masking": ("random", "grid"),
}


def check_values(config: "MAEConfig") -> None:
    """Checks every value on its own.

    Raises:
        UserError: a value of the wrong type or out of range.
    """
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
        if value is not None and not (_is_number(value) and 0 < value < 1):
            raise UserError(f"{name} must lie between 0 and 1, both excluded, not {value!r}")


def check_combination(config: "MAEConfig") -> None:
    """Checks the values of a filled-in configuration against each other.

    Raises:
        UserError: two values that do not go together.
    """
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
            f"prediction_ratio {config.prediction_ratio} is above mask_ratio {config.mask_ratio}; "
            "only masked patches can be predicted"
        )
    _check_counts(config)
    _check_mixing(config)


def block_indices(given: Sequence[int], depth: int) -> tuple[int, ...]:
    """Ascending, non-negative indices of the encoder blocks whose outputs are mixed.

    Raises:
        UserError: an index out of range or given twice, or the last block missing.
    """
    if outside := [i for i in given if not -depth <= i < depth]:
        raise UserError(f"feature_maps: block {outside[0]} does not exist; the blocks are 0 to {depth - 1}")
    blocks = sorted({i % depth for i in given})
    if len(blocks) < len(given):
        raise UserError(f"feature_maps {list(given)} names a block twice")
    if depth - 1 not in blocks:
        raise UserError(
            f"feature_maps {list(given)} leaves out the last block ({depth - 1}); the blocks above the highest one "
            "named would never train"
        )
    return tuple(blocks)


def _check_size(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{name} must be a whole number of at least 1, not {value!r}")


def _check_feature_maps(value: object) -> None:
    if value in (None, "all", "last"):
        return
    if isinstance(value, list | tuple) and value and all(isinstance(i, int) and i is not True for i in value):
        return
    raise UserError(f"feature_maps must be all, last or a list of block indices, not {value!r}")


def _check_counts(config: "MAEConfig") -> None:
    if config.num_visible < 1:
        raise UserError(f"mask_ratio {config.mask_ratio} leaves no visible patch of {config.num_patches}")
    if config.masking == "grid" and (config.mask_ratio != 0.75 or config.grid % 2):
        raise UserError(
            "masking grid keeps one patch of every 2x2 cell: it needs mask_ratio 0.75 and an even number of patches "
            f"per side, not mask_ratio {config.mask_ratio} and {config.grid}"
        )


def _check_mixing(config: "MAEConfig") -> None:
    if config.mixed_blocks:
        return
    if config.use_input:
        raise UserError("use_input needs inter-block attention: set feature_maps to all or to a list of blocks")
    if config.map_projection or config.mixing != "linear":
        name = "map_projection" if config.map_projection else "mixing"
        raise UserError(f"{name} needs inter-block attention: set feature_maps to all or to a list of blocks")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
