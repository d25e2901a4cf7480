"""The flash-attn package computes what PyTorch's own attention does."""

import pytest
import torch

from crossmae import MaskedAutoencoder
from crossmae.model.attention import attend
from crossmae.model.presets import preset_config


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("queries", "keys"), [(50, 50), (49, 50), (197, 197)])
def test_attention_equals_sdpa(dtype: torch.dtype, queries: int, keys: int) -> None:
    query = torch.randn(8, queries, 12, 64, device="cuda", dtype=dtype)
    key, value = (torch.randn(8, keys, 12, 64, device="cuda", dtype=dtype) for _ in range(2))
    expected = attend(query.float(), key.float(), value.float(), "sdpa")
    for backend in ("flash_attn", "sdpa"):
        mixed = attend(query, key, value, backend).float()
        torch.testing.assert_close(mixed, expected, rtol=2e-2, atol=2e-2)


def test_the_loss_of_a_model_is_the_same() -> None:
    images, noise = torch.randn(8, 3, 224, 224, device="cuda"), torch.rand(8, 196, device="cuda")
    values = []
    for backend in ("sdpa", "flash_attn"):
        torch.manual_seed(0)
        model = MaskedAutoencoder(preset_config("vit_b16"), attention=backend).cuda()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            values.append(model(images, noise=noise).loss.item())
    assert values[1] == pytest.approx(values[0], rel=2e-3)
