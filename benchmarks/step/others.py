"""Training steps of other implementations, each as its own training script makes them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.presets import PRESETS, preset_config
from crossmae.pretraining.workload import MEAN, STD

Step = Callable[[], None]


def birder(model: str, batch: int) -> Step:
    """CrossMAE of birder with a decoder of 12 blocks and ours' width (its default has 8 blocks; 16 heads are fixed).

    Its training script's AdamW: per tensor by default.
    """
    from birder.model_registry import registry

    size = (224, 224)
    encoder = registry.net_factory(model, 0, 3, size=size)
    decoder = {"decoder_embed_dim": PRESETS[model].get("decoder_embed_dim", 512)}
    net = registry.mim_net_factory("crossmae_dec512d12", encoder, config=decoder, size=size)
    images = torch.randn(batch, 3, *size)
    return _step(net, lambda: net(images)["loss"], torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.05))


def huggingface(model: str, batch: int) -> Step:
    """ViTMAE of transformers with the Trainer's default optimizer."""
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    preset = PRESETS[model]
    width, decoder = preset["embed_dim"], preset.get("decoder_embed_dim", 512)
    config = ViTMAEConfig(
        hidden_size=width,
        num_attention_heads=preset["num_heads"],
        intermediate_size=4 * width,
        decoder_hidden_size=decoder,
        decoder_num_attention_heads=preset.get("decoder_num_heads", 16),
        decoder_intermediate_size=4 * decoder,
        norm_pix_loss=True,
    )
    net = ViTMAEForPreTraining(config)
    images = torch.randn(batch, 3, 224, 224)
    return _step(net, lambda: net(pixel_values=images).loss, _adamw(net, fused=True))


def plain(model: str, batch: int, bf16: bool = False) -> Step:
    """Our own model as one trains it first: PyTorch's attention, AdamW per tensor, PyTorch's matmul precision.

    With ``bf16`` under autocast. Images lie in memory as our trainer finds them, on the 0-255 scale.
    """
    config = preset_config(model)
    net = MaskedAutoencoder(config, attention="sdpa")
    images = 255 * torch.rand(batch, 3, config.image_size, config.image_size)
    noise = torch.rand(batch, config.num_patches)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    optimizer = _adamw(net, foreach=False, fused=False)

    def loss() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss: torch.Tensor = net((images - mean) / std, noise=noise).loss
        return loss

    return _step(net, loss, optimizer)


def _adamw(net: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.05, **options)


def _step(net: nn.Module, loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer) -> Step:
    net.train()

    def step() -> None:
        loss().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


BUILD: Mapping[str, Callable[[str, int], Step]] = {
    "birder": birder,
    "huggingface": huggingface,
    "plain": plain,
    "plain bf16": partial(plain, bf16=True),
}
