"""What ``make gpu`` measures: parts of cases, each case a process of its own whose last line of output counts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

STEP, ONE, RUNS = "benchmarks.gpu.step", "benchmarks.downstream.one", "benchmarks.gpu.pretraining"

MODES = {
    "eager": ("compile=false",),
    "compiled": ("compile=true", "cuda_graphs=false"),
    "CUDA graphs": ("compile=true", "cuda_graphs=true"),
}
RECIPES = {
    "crossmae25_vit_b16": 512,
    "crossmae75_vit_b16": 512,
    "mae_vit_b16": 512,
    "crossmae25_vit_l16": 256,
    "mae_vit_l16": 256,
}
"""The batch of each."""


@dataclass(frozen=True)
class Case:
    """``python -m`` with ``arguments``."""

    part: str
    name: str
    arguments: tuple[str, ...]
    minutes: float
    """After so many it is ended."""
    gpus: int = 0
    """That it needs at least."""
    package: str | None = None
    """That it needs and the project does not."""

    def missing(self, gpus: int) -> str | None:
        """Why it cannot run on a machine with ``gpus``, if so."""
        if gpus < self.gpus:
            return f"wants {self.gpus} GPUs"
        if self.package is not None and find_spec(self.package) is None:
            return f"{self.package} is not installed"
        return None


def full() -> tuple[Case, ...]:
    """All cases on GPUs, the most telling first: what the time box leaves no room for is not run."""
    return (
        Case("tests", "tests/gpu", ("pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "tests/gpu"), 5),
        *_steps("crossmae25_vit_b16", MODES),
        *_steps("crossmae25_vit_l16", MODES),
        Case("runs", "resume after kill -9", (RUNS, "resumed", "cuda", "full"), 2),
        Case("runs", "5 minutes from staged pixels", (RUNS, "staged", "cuda", "full"), 8),
        *_others("cuda", "crossmae25_vit_b16", 512, ("plain",), 1.5),
        *_steps("mae_vit_b16", ("eager", "compiled")),
        *_others("cuda", "mae_vit_b16", 512, ("huggingface",), 1.5),
        *_downstream(("vitdet-1024", ("detectron2", "ours")), ("upernet-512", ("mmseg", "ours")), minutes=2),
        *_downstream(("finetune-224", ("timm", "ours", "ours compiled")), minutes=2),
        *_processes("cuda", "full"),
        *_steps("crossmae75_vit_b16", ("compiled",)),
        *_steps("mae_vit_l16", ("compiled",)),
        Case(
            "steps",
            "crossmae25_vit_b16 compiled, flash-attn",
            (STEP, "ours", "crossmae25_vit_b16", "512", "cuda", *MODES["compiled"], "attention=flash_attn"),
            2,
            package="flash_attn",
        ),
        *_others("cuda", "crossmae25_vit_b16", 512, ("birder",), 1.5),
    )


def tiny() -> tuple[Case, ...]:
    """The same code on a CPU, as small as it gets: what would stop a first run on a GPU stops this one."""
    collect = ("pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "--collect-only", "tests/gpu")
    modes = [
        Case("steps", f"demo {mode}", (STEP, "ours", "demo_crossmae", "4", "cpu", *MODES[mode]), 3) for mode in MODES
    ]
    return (
        Case("tests", "tests/gpu, collected only", collect, 2),
        *modes,
        *_others("cpu", "demo_crossmae", 2, ("plain", "huggingface", "birder"), 2),
        Case("runs", "resume after kill -9", (RUNS, "resumed", "cpu", "tiny"), 2),
        Case("runs", "from staged pixels", (RUNS, "staged", "cpu", "tiny"), 2),
        *_downstream(
            ("vitdet-demo", ("detectron2", "ours")),
            ("upernet-demo", ("mmseg", "ours")),
            ("finetune-demo", ("timm", "ours")),
            minutes=2,
            steps=("1",),
        ),
        *_processes("cpu", "tiny", gpus=0),
    )


def _steps(recipe: str, modes: Iterable[str]) -> Iterator[Case]:
    for mode in modes:
        arguments = (STEP, "ours", recipe, str(RECIPES[recipe]), "cuda", *MODES[mode])
        yield Case("steps", f"{recipe} {mode}", arguments, 1.5 if mode == "eager" else 3)


def _others(device: str, recipe: str, batch: int, names: Iterable[str], minutes: float) -> Iterator[Case]:
    for name in names:
        package = "birder" if name == "birder" else None
        yield Case("steps", f"{recipe} {name}", (STEP, name, recipe, str(batch), device), minutes, package=package)


def _downstream(*cases: tuple[str, tuple[str, ...]], minutes: float, steps: tuple[str, ...] = ()) -> Iterator[Case]:
    for case, names in cases:
        for name in names:
            yield Case("downstream", f"{case} {name}", (ONE, case, name, *steps), minutes)


def _processes(device: str, size: str, gpus: int = 2) -> Iterator[Case]:
    yield Case("processes", "losses on one and on two", (RUNS, "shared", device, size), 2, gpus)
    yield Case("processes", "one of two fails", ("benchmarks.gpu.failing", device), 2.5, gpus)
    recipe, batch = ("crossmae25_vit_b16", "512") if device == "cuda" else ("demo_crossmae", "4")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "gpu" if device == "cuda" else "2", "-m")
    mode = MODES["compiled"] if device == "cuda" else MODES["eager"]
    yield Case("processes", f"{recipe} on all", (*launcher, STEP, "ours", recipe, batch, device, *mode), 3, gpus)
