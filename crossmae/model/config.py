"""The configuration of a masked autoencoder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from crossmae.errors import UserError
from crossmae.model import checks

DecoderKind = Literal["cross", "self", "cross+self"]
FeatureMaps = Literal["all", "last"] | Sequence[int]


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
        checks.check_values(self)
        cross = self.decoder != "self"
        self._fill("decoder_depth", 12 if cross else 8)
        self._fill("feature_maps", "all" if cross else "last")
        self._fill("use_input", cross and self.feature_maps == "all")
        self._fill("prediction_ratio", min(0.25, self.mask_ratio) if cross else self.mask_ratio)
        if not isinstance(self.feature_maps, str):
            object.__setattr__(self, "feature_maps", checks.block_indices(self.feature_maps or (), self.depth))
        checks.check_combination(self)

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
            raise UserError(f"unknown model option {', '.join(unknown)}; the options are {', '.join(sorted(known))}")
        return cls(**values)
