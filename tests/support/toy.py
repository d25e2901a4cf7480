"""A run of seconds for the engine's tests; as a program: ``python tests/support/toy.py FOLDER [name=value ...]``.

Draws from every source of randomness that a real workload has: keyed samples, dropout, NumPy in the loss. Appends the
samples of each micro-batch to ``FOLDER/seen-RANK.txt`` as ``update epoch index`` lines.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossmae.data.keyed import SampleKey, uniform
from crossmae.errors import UserError
from crossmae.run.stop import EXIT_RESUME, Stopped
from crossmae.train.config import FitExecution, TrainPlan
from crossmae.train.fit import Fitted, fit
from crossmae.train.workload import Workload

SAMPLES = 100
PLAN = TrainPlan(global_batch=16, lr=1e-3, steps=60, warmup_steps=5, clip_grad=1.0, seed=3)
EXECUTION = FitExecution(per_device_batch=16, checkpoint_every=10, log_every=1, device="cpu")


class Numbers:
    """Vectors of eight numbers; the poisoned sample is not a number."""

    def __init__(self, poisoned: int | None) -> None:
        self.poisoned = poisoned

    def __len__(self) -> int:
        return SAMPLES

    def name(self, index: int) -> str:
        return f"sample-{index}"

    def __getitem__(self, key: SampleKey) -> tuple[Tensor, Tensor]:
        values = torch.tensor(uniform(0, [key], "toy", 8)[0]).float()
        if key.index == self.poisoned:
            values[0] = float("nan")
        return values, torch.tensor(key)


@dataclass
class Toy(Workload):
    """Fits a small network to the sum of the inputs."""

    folder: Path
    delay: float = 0.0
    width: int = 8
    poisoned: int | None = None
    fused: int = 1

    def __post_init__(self) -> None:
        self.identity = {"model": {"width": self.width}}

    def dataset(self) -> Numbers:
        return Numbers(self.poisoned)

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, self.width), nn.GELU(), nn.Dropout(0.1), nn.Linear(self.width, 1))

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        values, keys = batch
        with open(self.folder / f"seen-{os.environ.get('RANK', 0)}.txt", "a") as file:
            file.writelines(f"{epoch} {index}\n" for epoch, index in keys.tolist())
        time.sleep(self.delay)
        noise = float(np.random.rand()) * 0.01  # noqa: NPY002 - the global generator is what is being tested
        loss: Tensor = (model(values)[:, 0] - values.sum(1) - noise).square().mean()
        return loss

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        if self.fused:
            return super().optimizer(model, lr)
        return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=0.1)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return {"sum": float(sum(p.double().sum() for p in model.parameters()))}


class Interrupted(Toy):
    """Calls ``interrupt`` in the middle of update ``at``."""

    def __init__(self, folder: Path, at: int, interrupt: Callable[[], object]) -> None:
        super().__init__(folder)
        self.calls, self.at, self.interrupt = 0, at, interrupt

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        loss = super().loss(model, batch)
        if self.calls == self.at:
            self.interrupt()
        self.calls += 1
        return loss


def run(toy: Toy, plan: TrainPlan = PLAN, execution: FitExecution = EXECUTION) -> Fitted:
    """Runs to the end in this process and keeps the losses in ``losses.txt``."""
    toy.folder.mkdir(parents=True, exist_ok=True)

    def progress(step: int, total: int, metrics: dict[str, float]) -> None:
        del total
        if "loss" in metrics:
            with open(toy.folder / "losses.txt", "a") as file:
                file.write(f"{step} {metrics['loss']!r}\n")

    return fit(toy, plan, toy.folder, progress, execution)  # type: ignore[arg-type]


def _main(folder: str, *options: str) -> int:
    # All output goes through logging, which writes a line and its end at once: two processes share one pipe.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    values: dict[str, Any] = {
        name: float(text) if "." in text else int(text) for name, _, text in (o.partition("=") for o in options)
    }
    execution = replace(EXECUTION, **{k: v for k, v in values.items() if hasattr(EXECUTION, k)})
    plan = replace(PLAN, **{k: v for k, v in values.items() if hasattr(PLAN, k)})
    toy = Toy(Path(folder), **{k: v for k, v in values.items() if k in ("delay", "width", "poisoned", "fused")})
    try:
        fitted = run(toy, plan, execution)
    except UserError as error:
        logging.error("error: %s", error)
        return 1
    except Stopped as stop:
        logging.info("stopped: %s", stop)
        return EXIT_RESUME
    torch.save(fitted.model.state_dict(), toy.folder / "final.pt")
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
