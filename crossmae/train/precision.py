"""Precision of arithmetic: what ``auto`` means on a device, and that of matrix products in fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from crossmae.train.plan import Precision


def settled(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """``precision``, with ``auto`` as bf16 where ``device`` multiplies matrices in it, else fp32.

    A CPU without such instructions would convert every operand: slower than fp32 by far.
    """
    if precision != "auto":
        return precision
    return "bf16" if _multiplies_bf16(device) else "fp32"


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Sets ``torch.set_float32_matmul_precision`` for as long as the block lasts."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
