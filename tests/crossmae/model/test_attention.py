"""Attention backends compute the same."""

import pytest
import torch

from crossmae import MaskedAutoencoder, UserError
from crossmae.model.attention import attend, attention_weights
from crossmae.model.presets import preset_config


def test_backends_agree_and_the_weights_are_those_applied() -> None:
    query, key, value = torch.randn(2, 5, 3, 8), torch.randn(2, 7, 3, 8), torch.randn(2, 7, 3, 8)
    expected = attend(query, key, value, "sdpa")
    for backend in ("math", "auto"):
        torch.testing.assert_close(attend(query, key, value, backend), expected)
    weighted = attention_weights(query, key) @ value.transpose(1, 2)
    torch.testing.assert_close(weighted.transpose(1, 2).flatten(2), expected)


def test_a_backend_that_is_missing_or_unknown_is_one_line() -> None:
    config = preset_config("vit_demo")
    with pytest.raises(UserError, match="pip install flash-attn"):
        MaskedAutoencoder(config, attention="flash_attn")
    with pytest.raises(UserError, match="sdpa"):
        MaskedAutoencoder(config, attention="xformers")  # type: ignore[arg-type]
