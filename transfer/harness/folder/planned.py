"""The runs that ``run_all`` works on, kept in ``<out>/plan.json``: who looks from outside sees what has not begun."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import Count, Strict, parse_file
from transfer.harness.plan.plan import Run


@dataclass(frozen=True)
class PlannedRun(Strict):
    """One run of a plan."""

    place: str
    """Its folder below ``out``."""
    task: str
    backbone: str
    seed: int
    identity: str
    recipe_hash: str
    devices: Count
    needs: str | None
    """Place of the run that it waits for."""

    def __post_init__(self) -> None:
        for place in (self.place, self.needs or self.place):
            parts = PurePosixPath(place).parts
            if len(parts) != 3 or ".." in parts or parts[0] == "/":
                raise ValueError(f"{place!r} is not TASK/BACKBONE/SEED-HASH")


def write_plan(out: Path, runs: Iterable[Run]) -> None:
    """Replaces the former plan; where it cannot be written, only who looks from outside misses it."""
    with suppress(OSError):
        write_json([asdict(_planned(out, run)) for run in runs], out / "plan.json")


def read_plan(out: Path) -> tuple[PlannedRun, ...]:
    """The newest plan; empty if there is none that can be read."""
    try:
        return parse_file(tuple[PlannedRun, ...], out / "plan.json")
    except UserError:
        return ()


def _planned(out: Path, run: Run) -> PlannedRun:
    return PlannedRun(
        place=_place(out, run),
        task=run.task.name,
        backbone=run.backbone,
        seed=run.seed,
        identity=run.identity,
        recipe_hash=run.recipe.hash,
        devices=run.devices,
        needs=_place(out, run.needs) if run.needs else None,
    )


def _place(out: Path, run: Run) -> str:
    return run.folder.relative_to(out).as_posix()
