"""The resumable state of a run: one file, replaced as a whole, loaded without running code from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, barrier, get_rank, is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner

from crossmae.data.keyed import seed_libraries
from crossmae.errors import UserError
from crossmae.run.stop import StopGuard, Stopped

FORMAT = 1


@dataclass(frozen=True)
class StateFile:
    """Weights, optimizer and schedules after ``step`` iterations of the run ``identity``.

    mmengine's checkpoints hold pickled objects beside them (log buffers), and its loader falls back to running what it
    cannot read safely.
    """

    path: Path
    identity: str

    def save(self, runner: Runner, step: int) -> None:
        """Replaces the file; a kill at any moment leaves the old one or the new one."""
        state = {
            "format": FORMAT,
            "identity": self.identity,
            "step": step,
            "model": _unwrapped(runner.model).state_dict(),
            "optimizer": runner.optim_wrapper.optimizer.state_dict(),
            "schedulers": [_scalars(s.state_dict()) for s in runner.param_schedulers],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        torch.save(state, temporary)
        temporary.replace(self.path)

    def load(self, runner: Runner) -> int:
        """Restores the state and returns its step; 0 if there is none.

        Raises:
            UserError: the file cannot be read, or belongs to another recipe or backbone.
        """
        if not self.path.exists():
            return 0
        state = self._read()
        _unwrapped(runner.model).load_state_dict(state["model"])
        runner.optim_wrapper.optimizer.load_state_dict(state["optimizer"])
        for scheduler, values in zip(runner.param_schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(values)
        return int(state["step"])

    def _read(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{self.path} is no usable state ({reason}); delete it to start over") from error
        if state.get("format") != FORMAT or state.get("identity") != self.identity:
            raise UserError(f"{self.path} belongs to another run; delete it to start over")
        return state


class ResumableState(Hook):
    """Restores the state before training, saves it every ``interval`` iterations and when the run is asked to stop."""

    priority = "LOWEST"  # after the schedules have stepped

    def __init__(self, file: StateFile, guard: StopGuard, interval: int, seed: int) -> None:
        self.file = file
        self.guard = guard
        self.interval = interval
        self.seed = seed

    def before_train(self, runner: Runner) -> None:
        """Goes on where the state was saved; mmengine's loop then skips the samples that were trained on."""
        step = self.file.load(runner)
        runner.train_loop._iter = step
        if step:
            runner.logger.info(f"resumed at step {step}")

    def before_train_iter(self, _runner: Runner, batch_idx: int, **_: Any) -> None:
        """Seeds dropout and drop path by the iteration, so that there is no random state to save."""
        seed_libraries(self.seed, batch_idx, get_rank())

    def after_train_iter(self, runner: Runner, batch_idx: int, **_: Any) -> None:
        """Saves when it is due.

        Raises:
            Stopped: a signal came to any of the processes; the state is saved.
        """
        step = batch_idx + 1
        stopping = _any_process(self.guard.requested, runner)
        if stopping or step % self.interval == 0 or step == runner.max_iters:
            if get_rank() == 0:
                self.file.save(runner, step)
            barrier()
        if stopping:
            raise Stopped(f"stopped by {self.guard.reason or 'a signal to another process'} after step {step}")


def _any_process(flag: bool, runner: Runner) -> bool:
    if not is_distributed():
        return flag
    flags = torch.tensor(float(flag), device=next(runner.model.parameters()).device)
    all_reduce(flags, "max")
    return bool(flags)


def _unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    return getattr(model, "module", model)


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    # weights_only loading knows no NumPy scalars.
    return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
