"""How fast this machine multiplies matrices: what a training step's speed is measured against."""

import time

import torch

# NVIDIA's data sheets, dense bf16 with fp32 accumulation, without sparsity.
_DATA_SHEETS = {"A100": 312e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12}


def matmul_peak(device: torch.device, dtype: torch.dtype, seconds: float = 0.5) -> float:
    """FLOP/s of the best of several products of large square matrices, at the float32 matmul precision in force."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = [_timed(left, right)]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        times.append(_timed(left, right))
    return 2 * size**3 / min(times)


def data_sheet_peak(name: str) -> float | None:
    """FLOP/s in bf16 that the data sheet of GPU ``name`` states; None for one that is not listed."""
    return next((peak for part, peak in _DATA_SHEETS.items() if part in name), None)


def _timed(left: torch.Tensor, right: torch.Tensor) -> float:
    before = _now(left.device)
    torch.matmul(left, right)
    return _now(left.device) - before


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
