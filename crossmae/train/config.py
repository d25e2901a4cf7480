"""What a training run is to do: values that decide its numbers (TrainPlan) and values that do not (Execution)."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, Strict

Precision = Literal["auto", "fp32", "bf16"]
MatmulPrecision = Literal["highest", "high", "medium"]
Device = Literal["auto", "cpu", "cuda"]
Compile = bool | Literal["auto"]


@dataclass(frozen=True)
class TrainPlan:
    """The values that decide what is learned. Exactly one of ``steps`` and ``epochs`` is given.

    Steps are optimizer updates of ``global_batch`` samples each, over all processes and accumulation together.
    """

    global_batch: int
    """Samples per update."""
    lr: float
    """Learning rate at the end of the warm-up, multiplied by a parameter group's ``lr_scale``."""
    steps: int | None = None
    epochs: float | None = None
    warmup_steps: int | None = None
    """Length of the linear warm-up; exactly one of this and ``warmup_epochs``, or neither for no warm-up."""
    warmup_epochs: float | None = None
    min_lr: float = 0.0
    """Learning rate at the end of the half-cosine, multiplied by ``lr_scale`` too."""
    clip_grad: float | None = None
    """Greatest norm of the whole gradient; None for no clipping."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise UserError("give either a number of steps or a number of epochs")
        if self.warmup_steps is not None and self.warmup_epochs is not None:
            raise UserError("give the warm-up either in steps or in epochs")
        for name in ("lr", "min_lr", "warmup_steps", "warmup_epochs"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UserError(f"{name} is {value}", "it must not be negative")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise UserError(f"clip_grad is {self.clip_grad}", "it must be positive, or null for no clipping")
        if self.global_batch < 1 or self.total_steps(self.global_batch) < 1:
            raise UserError("the global batch and the number of steps or epochs must be positive")

    def total_steps(self, samples: int) -> int:
        """Updates of the whole run over a data set of ``samples`` items.

        The epochs form one stream: a batch that an epoch's last samples do not fill is filled with the first ones of
        the next epoch, so every epoch shows every sample exactly once. Only what is left of the very last epoch
        (less than one batch) is not used.
        """
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1 if self.epochs > 0 else 0, int(self.epochs * samples / self.global_batch + 1e-9))

    def total_warmup(self, samples: int) -> float:
        """Length of the warm-up in updates."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return (self.warmup_epochs or 0.0) * samples / self.global_batch

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


@dataclass(frozen=True)
class Execution(Strict):
    """How any engine carries a run out; none of it decides the numbers. Engines extend it by what only they know."""

    per_device_batch: Count = 64
    """Most samples that one process holds at once; accumulation follows from it. It changes the numbers only where a
    micro-batch is treated as a whole: by mixup, cutmix and batch norm."""
    workers: CountOrZero = 0
    """Data-loading processes per process; 0 loads in the training process."""
    precision: Precision = "fp32"
    """``bf16``: autocast around the loss; weights and optimizer stay in fp32. ``auto``: see ``precision.settled``."""
    matmul_precision: MatmulPrecision = "highest"
    """``torch.set_float32_matmul_precision``: TF32 on GPUs below ``highest``; bf16 on CPUs that multiply in it."""
    checkpoint_every: Count = 1000
    """Updates between two saved states; the last update is always saved."""
    log_every: Count = 20
    """Updates between two lines of log and progress."""


@dataclass(frozen=True)
class FitExecution(Execution):
    """How ``fit`` carries a run out; changing any of it between two starts keeps the run."""

    compile: Compile = False
    """``torch.compile``; ``auto``: on a GPU."""
    cuda_graphs: bool = True
    """Replays a compiled step as CUDA graphs, on a single GPU without accumulation."""
    keep: Count = 2
    """Number of newest states that are kept."""
    milestone_every: Count | None = None
    """Every so many updates a state is kept for good."""
    evaluate_every_epochs: Count | None = None
    """Epochs between two evaluations by the workload; the end of the run is always evaluated. None: only the end."""
    device: Device = "auto"
    """``auto``: a GPU where there is one."""


def compiles(choice: Compile, device: str) -> bool:
    """Whether ``choice`` means to compile on a device of the type ``device`` (``cuda`` or ``cpu``)."""
    return choice is True or (choice == "auto" and device == "cuda")


@dataclass(frozen=True)
class Split:
    """How one update's samples fall on processes and micro-batches: global batch = processes x accumulation x micro."""

    processes: int
    accumulation: int
    micro_batch: int


def split_batch(global_batch: int, processes: int, per_device_batch: int) -> Split:
    """The fewest equal micro-batches of at most ``per_device_batch`` samples.

    Raises:
        UserError: the global batch does not divide by the number of processes, or a batch is not positive.
    """
    if per_device_batch < 1:
        raise UserError(f"a per-device batch of {per_device_batch} is not positive")
    if global_batch % processes:
        raise UserError(
            f"a global batch of {global_batch} cannot be shared by {processes} processes", "choose a divisor"
        )
    share = global_batch // processes
    fewest = -(-share // per_device_batch)
    accumulation = next(count for count in range(fewest, share + 1) if share % count == 0)
    return Split(processes, accumulation, share // accumulation)
