"""How fast training steps are: the trainer's own updates, on images that lie on the device already."""

import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import repeat
from typing import Any

import torch

from crossmae.analysis.cost import training_flops
from crossmae.pretraining.recipe import PretrainRecipe
from crossmae.pretraining.workload import Autoencoding
from crossmae.run.memory import peak_memory
from crossmae.train.config import split_batch
from crossmae.train.runtime.distributed import World, join_world
from crossmae.train.runtime.precision import matmul_precision
from crossmae.train.step import Updates

IMAGENET = 1_281_167
"""Training images of ImageNet-1K."""
# NVIDIA's data sheets, dense bf16 with fp32 accumulation, without sparsity.
_DATA_SHEETS = {"A100": 312e12, "H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12, "L40S": 362e12}
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Speed:
    """What one training step takes, over all processes together."""

    ms_per_step: float
    """Median time of an update, accumulation included."""
    images_per_second: float
    memory_bytes: int
    """Greatest memory of a process: the GPU's where there is one."""
    flops_per_second: float
    """What one process does; see ``training_flops``."""
    matmul_flops_per_second: float
    """What one process reaches in large matrix products of the same precision."""
    data_sheet_flops_per_second: float | None
    """What the GPU's maker states for bf16."""
    processes: int
    accumulation: int
    micro_batch: int
    device: str
    precision: str
    """``fp32`` or ``bf16``."""
    compiled: bool
    is_main: bool

    @property
    def minutes_per_epoch(self) -> float:
        """Minutes for as many images as ImageNet-1K has."""
        return IMAGENET / self.images_per_second / 60

    @property
    def matmul_share(self) -> float:
        """FLOP/s as a share of what large matrix products reach."""
        return self.flops_per_second / self.matmul_flops_per_second

    @property
    def mfu(self) -> float | None:
        """Model FLOPs utilisation: FLOP/s as a share of the data sheet's bf16 peak."""
        peak = self.data_sheet_flops_per_second
        return None if peak is None else self.flops_per_second / peak

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        shares = {"minutes_per_epoch": self.minutes_per_epoch, "matmul_share": self.matmul_share, "mfu": self.mfu}
        return {**asdict(self), **shares}


def measure(recipe: PretrainRecipe, steps: int = 20, warmup: int = 5, device: str = "auto") -> Speed:
    """Times ``steps`` updates after ``warmup`` ones, on every process that torchrun started.

    The learning rate is 0: the arithmetic is that of training, and noise has nothing to teach.

    Raises:
        UserError: no such device, or a batch that cannot be shared by the processes.
    """
    with join_world(device) as world, matmul_precision(recipe.execution.matmul_precision):
        split = split_batch(recipe.plan.global_batch, world.size, recipe.execution.per_device_batch)
        updates = Updates(Autoencoding(recipe), recipe.plan, recipe.execution, world, split)
        updates.prepare()
        batches = repeat(synthetic_batch(recipe, split.micro_batch, world.device))
        median = statistics.median(list(_times(updates, batches, warmup + steps))[warmup:])
        memory = max(world.gather(peak_memory(world.device.type == "cuda")))
        rate = recipe.plan.global_batch / median
        return Speed(
            ms_per_step=1000 * median,
            images_per_second=rate,
            memory_bytes=memory,
            flops_per_second=training_flops(recipe.model) * rate / world.size,
            matmul_flops_per_second=matmul_peak(world.device, _DTYPES[updates.execution.precision]),
            data_sheet_flops_per_second=data_sheet_peak(_name(world)),
            processes=world.size,
            accumulation=split.accumulation,
            micro_batch=split.micro_batch,
            device=_name(world),
            precision=updates.execution.precision,
            compiled=updates.execution.compile is True,
            is_main=world.is_main,
        )


def synthetic_batch(recipe: PretrainRecipe, count: int, device: torch.device) -> dict[str, torch.Tensor]:
    """``count`` images of noise, as the trainer's micro-batches are."""
    size = recipe.model.image_size
    images = torch.randint(256, (count, 3, size, size), dtype=torch.uint8, device=device)
    return {
        "image": images.float() if recipe.execution.in_memory else images,
        "noise": torch.rand(count, recipe.model.num_patches, device=device),
    }


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


def _times(updates: Updates, batches: Iterator[Any], count: int) -> Iterator[float]:
    """Seconds between two updates. As in training, the host reads of each what became of the one before."""
    before = time.perf_counter()
    for step in range(count):
        updates.make(step, 0.0, batches, stop=False)
        updates.health.read(leave=1)
        now = time.perf_counter()
        yield now - before
        before = now


def _name(world: World) -> str:
    return torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else "cpu"


def _timed(left: torch.Tensor, right: torch.Tensor) -> float:
    before = _now(left.device)
    torch.matmul(left, right)
    return _now(left.device) - before


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
