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


def birder(model: str, batch: int, device: torch.device) -> Step:
    """CrossMAE of birder with a decoder of 12 blocks and ours' width (its default has 8 blocks; 16 heads are fixed).

    Its training script's AdamW: per tensor by default.
    """
    from birder.model_registry import registry

    size = (224, 224)
    encoder = registry.net_factory(model, 0, 3, size=size)
    decoder = {"decoder_embed_dim": PRESETS[model].get("decoder_embed_dim", 512)}
    net = registry.mim_net_factory("crossmae_dec512d12", encoder, config=decoder, size=size).to(device)
    images = torch.randn(batch, 3, *size, device=device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.05)
    return _step(net, lambda: net(images)["loss"], optimizer, bf16=device.type == "cuda")


def huggingface(model: str, batch: int, device: torch.device) -> Step:
    """ViTMAE of transformers with the Trainer's default optimizer; on a GPU under its ``bf16=True``."""
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
    net: nn.Module = ViTMAEForPreTraining(config)
    net.to(device)
    images = torch.randn(batch, 3, 224, 224, device=device)
    return _step(net, lambda: net(pixel_values=images).loss, _adamw(net, fused=True), bf16=device.type == "cuda")


def plain(model: str, batch: int, device: torch.device, bf16: bool = False) -> Step:
    """Our own model as one trains it first: PyTorch's attention, AdamW and matmul precision.

    With ``bf16`` under autocast. Images lie in memory as our trainer finds them, on the 0-255 scale.
    """
    config = preset_config(model)
    net = MaskedAutoencoder(config, attention="sdpa").to(device)
    images = 255 * torch.rand(batch, 3, config.image_size, config.image_size, device=device)
    noise = torch.rand(batch, config.num_patches, device=device)
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))
    # PyTorch's own choice: per tensor on a CPU.
    optimizer = _adamw(net, **({} if device.type == "cuda" else {"foreach": False, "fused": False}))
    return _step(net, lambda: net((images - mean) / std, noise=noise).loss, optimizer, bf16)


def _adamw(net: nn.Module, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.05, **options)


def _step(net: nn.Module, loss: Callable[[], torch.Tensor], optimizer: torch.optim.Optimizer, bf16: bool) -> Step:
    net.train()
    device = next(net.parameters()).device.type

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


BUILD: Mapping[str, Callable[[str, int, torch.device], Step]] = {
    "birder": birder,
    "huggingface": huggingface,
    "plain": plain,
    "plain bf16": partial(plain, bf16=True),
}
