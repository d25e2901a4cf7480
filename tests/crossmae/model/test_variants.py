"""Every variant of Tables 3, 7, 8, 9 and 15 trains."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from crossmae import MaskedAutoencoder
from crossmae.data.demo.scenes import SceneSource
from crossmae.model.presets import preset_config
from crossmae.pretraining.workload import normalize

VARIANTS: dict[str, dict[str, Any]] = {
    "3a MAE": {"decoder": "self"},
    "3a CrossMAE": {},
    "3a CrossMAE + self-attention": {"decoder": "cross+self"},
    "3b mask ratio 65 %": {"mask_ratio": 0.65, "prediction_ratio": 0.65},
    "3b mask ratio 85 %": {"mask_ratio": 0.85, "prediction_ratio": 0.85},
    "3c prediction ratio 15 %": {"prediction_ratio": 0.15},
    "3c prediction ratio 75 %": {"prediction_ratio": 0.75},
    "3d 1 feature map": {"feature_maps": "last"},
    "3d 2 feature maps and the input": {"feature_maps": [1, -1], "use_input": True},
    "3e decoder depth 1": {"decoder_depth": 1},
    "3e decoder depth 4": {"decoder_depth": 4},
    "3f twice the resolution": {"image_size": 128},
    "7 MAE + inter-block attention": {"decoder": "self", "feature_maps": "all", "use_input": True},
    "8 softmax weights": {"mixing": "softmax"},
    "9 linear projection per map": {"map_projection": True},
    "15 grid masking": {"masking": "grid"},
    "mixing weights as stated in the paper": {"mixing_init": "paper"},
}


@cache
def demo_images(count: int, size: int = 64) -> Tensor:
    scenes = SceneSource(0).draw("variants", "unlabelled", count)
    images = normalize(torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2))
    return torch.nn.functional.interpolate(images, size=(size, size), mode="bicubic") if size != 64 else images


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_trainable_parameter_gets_a_gradient(variant: str) -> None:
    model = MaskedAutoencoder(preset_config("vit_demo", **VARIANTS[variant]))
    images = demo_images(8, model.config.image_size)
    model(images).loss.backward()
    without = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    zero = [
        name for name, parameter in model.named_parameters() if parameter.grad is not None and not parameter.grad.any()
    ]
    assert without == []
    assert zero == []
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "encoder.pos_embed",
        "decoder.pos_embed",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_falls_over_60_steps(variant: str) -> None:
    torch.manual_seed(0)
    model = MaskedAutoencoder(preset_config("vit_demo", **VARIANTS[variant]))
    images = demo_images(512, model.config.image_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    losses = []
    for _ in range(60):
        loss = model(images[torch.randint(len(images), (16,))]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    first, last = np.mean(losses[:10]), np.mean(losses[-10:])
    print(f"{variant}: {first:.3f} -> {last:.3f}")
    assert last < 0.8 * first
