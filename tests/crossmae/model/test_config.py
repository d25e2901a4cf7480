"""What a configuration means, and what a wrong one says."""

from typing import Any

import pytest

from crossmae import MAEConfig, UserError
from crossmae.model.presets import preset_config


@pytest.mark.parametrize(
    ("image_size", "patch_size", "mask_ratio", "prediction_ratio", "visible", "predicted"),
    [
        # The released code's own counts.
        (224, 16, 0.75, 0.75, 49, 147),
        (224, 16, 0.75, 0.25, 49, 49),
        (224, 16, 0.75, 0.15, 49, 30),
        (224, 16, 0.65, 0.65, 68, 128),
        (224, 16, 0.85, 0.85, 29, 167),
        (224, 14, 0.75, 0.75, 64, 192),
        (224, 14, 0.75, 0.25, 64, 64),
        (448, 16, 0.75, 0.75, 196, 588),
        (448, 16, 0.75, 0.25, 196, 196),
        # Its rounding, where products are not whole: 25 patches, and 100 * (1 - 0.9), which floats put below 10.
        (80, 16, 0.75, 0.75, 6, 19),
        (80, 16, 0.75, 0.25, 6, 7),
        (160, 16, 0.75, 0.75, 25, 75),
        (160, 16, 0.75, 0.25, 25, 25),
        (160, 16, 0.9, 0.9, 9, 91),
    ],
)
def test_token_counts(
    image_size: int, patch_size: int, mask_ratio: float, prediction_ratio: float, visible: int, predicted: int
) -> None:
    config = MAEConfig(
        image_size=image_size, patch_size=patch_size, mask_ratio=mask_ratio, prediction_ratio=prediction_ratio
    )
    assert (config.num_visible, config.num_predicted) == (visible, predicted)


def test_what_is_left_open_is_filled_in_as_the_paper_has_it() -> None:
    cross, mae = MAEConfig(), MAEConfig(decoder="self")
    assert (cross.decoder_depth, cross.feature_maps, cross.use_input, cross.prediction_ratio) == (12, "all", True, 0.25)
    assert (mae.decoder_depth, mae.feature_maps, mae.use_input, mae.prediction_ratio) == (8, "last", False, 0.75)
    assert MAEConfig(feature_maps=[3, 11]).use_input is False


def test_feature_maps_are_blocks_in_ascending_order_and_minus_one_is_the_last() -> None:
    assert MAEConfig(feature_maps=[-1, 3]).feature_maps == (3, 11)
    assert MAEConfig(feature_maps=[-1]).num_maps == 1
    assert MAEConfig(feature_maps="last").num_maps == 0
    assert MAEConfig().num_maps == 13


@pytest.mark.parametrize(
    "config", [MAEConfig(), MAEConfig(feature_maps=[0, -1], use_input=True), MAEConfig(decoder="self")]
)
def test_a_configuration_survives_being_written_down(config: MAEConfig) -> None:
    assert MAEConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("mask_ratio", {"mask_ratio": 1.2}),
        ("mask_ratio", {"mask_ratio": 0}),
        ("mask_ratio", {"mask_ratio": "0.75"}),
        ("mask_ratio", {"mask_ratio": 0.999}),
        ("mask_ratio", {"mask_ratio": None}),
        ("mask_ratio", {"mask_ratio": float("nan")}),
        ("prediction_ratio", {"prediction_ratio": -0.1}),
        ("prediction_ratio", {"mask_ratio": 0.65, "prediction_ratio": 0.75}),
        ("num_heads", {"num_heads": 7}),
        ("decoder_num_heads", {"decoder_num_heads": 3}),
        ("image_size", {"image_size": 225}),
        ("patch_size", {"patch_size": 0}),
        ("depth", {"depth": 2.5}),
        ("decoder_depth", {"decoder_depth": 0}),
        ("embed_dim", {"embed_dim": 30, "num_heads": 3}),
        ("decoder", {"decoder": "mae"}),
        ("feature_maps", {"feature_maps": "first"}),
        ("feature_maps", {"feature_maps": []}),
        ("feature_maps", {"feature_maps": [False, 11]}),
        ("feature_maps", {"feature_maps": 3}),
        ("feature_maps", {"feature_maps": [12]}),
        ("feature_maps", {"feature_maps": [11, -1]}),
        ("feature_maps", {"feature_maps": [1, 3, 5]}),
        ("use_input", {"feature_maps": "last", "use_input": True}),
        ("use_input", {"use_input": "yes"}),
        ("norm_pix_loss", {"norm_pix_loss": 1}),
        ("mixing", {"mixing": "mean"}),
        ("mixing", {"mixing": "softmax", "feature_maps": "last"}),
        ("map_projection", {"decoder": "self", "map_projection": True}),
        ("mixing_init", {"mixing_init": "zeros"}),
        ("masking", {"masking": "block"}),
        ("masking", {"masking": "grid", "mask_ratio": 0.5}),
        ("masking", {"masking": "grid", "image_size": 80}),
        ("heads", {"heads": 12}),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_the_field(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        MAEConfig.from_dict(options)
    line = str(refused.value)
    assert field in line
    assert "\n" not in line


@pytest.mark.parametrize("preset", ["vit_x", ["vit_b16"], None])
def test_an_unknown_preset_lists_the_known_ones(preset: Any) -> None:
    with pytest.raises(UserError, match="vit_b16"):
        preset_config(preset)
