"""A GPU without kernels: every tensor on it is a shape.

The guard must be loaded before this module is imported (see ``guard.load``).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from crossmae.model.config import MAEConfig
from crossmae.pretraining import workload


def flash_attention(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """What CUDA takes for attention in bf16 without a mask; on a CPU, torch would choose another kernel."""
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, scale=options.get("scale"))[0]


class Event:
    """Stands for ``torch.cuda.Event``."""

    def record(self) -> None:
        """Nothing is computed, so nothing is recorded."""


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """All tensors that are made within are shapes, and ``cuda`` is a device like another."""
    without_pinning = torch.empty_like

    def empty_like(*args: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        return without_pinning(*args, **options)

    changes: dict[str, Any] = {
        "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
        "torch.cuda.is_bf16_supported": lambda **_: True,
        "torch.cuda.Event": Event,
        "torch.empty_like": empty_like,
        "torch.nn.functional.scaled_dot_product_attention": flash_attention,
        "torch.nn.Module._apply": apply_to_parameters,
    }
    with ExitStack() as stack:
        for target, value in changes.items():
            stack.enter_context(mock.patch(target, value))
        stack.enter_context(FakeTensorMode())
        workload._statistics.cache_clear()
        yield
    workload._statistics.cache_clear()


def apply_to_parameters(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """``nn.Module._apply`` for tensors whose data cannot be swapped in place."""
    for child in module.children():
        apply_to_parameters(child, change)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            with torch.no_grad():
                module._parameters[name] = nn.Parameter(change(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


def shallow(model: MAEConfig, depth: int = 2) -> MAEConfig:
    """``model`` with ``depth`` blocks, and with as many of its feature maps as that leaves."""
    maps = model.feature_maps
    kept = maps if isinstance(maps, str) or maps is None else tuple(range(min(len(maps), depth)))
    return replace(model, depth=depth, decoder_depth=min(model.decoder_depth or depth, depth), feature_maps=kept)
