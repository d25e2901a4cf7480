"""Precision of arithmetic: what ``auto`` means on a device, and that of matrix products in fp32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from crossmae.errors import UserError


def settled(precision: str, device: torch.device) -> Literal["fp32", "bf16"]:
    """``precision``, with ``auto`` as bf16 where ``device`` multiplies matrices in it, else fp32.

    A CPU without such instructions would convert every operand: slower than fp32 by far.

    Raises:
        UserError: it is none of the three.
    """
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"precision must be auto, fp32 or bf16, not {precision!r}")
    bf16 = precision == "bf16" or (precision == "auto" and _multiplies_bf16(device))
    return "bf16" if bf16 else "fp32"


def precision_deviation(precision: str) -> str:
    """How training in ``precision`` departs from the originals' fp16 with a loss scaler.

    So train the released code of CrossMAE and MAE, and detectron2's ViTDet.
    """
    return "bf16 in place of fp16 mixed precision" if precision == "bf16" else "fp32 in place of mixed precision"


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Sets ``torch.set_float32_matmul_precision`` for as long as the block lasts.

    Raises:
        UserError: an unknown value, at which PyTorch only warns.
    """
    if precision not in ("highest", "high", "medium"):
        raise UserError(f"matmul_precision must be highest, high or medium, not {precision!r}")
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
