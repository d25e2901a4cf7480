"""Synthetic runs for the tests of results: never a source of numbers outside tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.record import Attempt, BackboneRef, Cost, Provenance, RecipeRef, Record, TaskRef
from results.runs import Runs, find_runs
from results.store import read_record, write_attempt, write_record


def make_record(
    task: str,
    backbone: str,
    seed: int,
    metrics: dict[str, float],
    deviations: Sequence[str] = ("generated demo data",),
    recipe_hash: str = "abc123",
    finished: str = "2026-08-01T12:00:00+00:00",
    artifacts: dict[str, str] | None = None,
    pretraining_run: str | None = None,
    minutes: float = 1.0,
) -> Record:
    """A record with every field filled.

    ``pretraining_run`` is the identity of the run, of 2,000 updates of 128 images, that made the backbone.
    """
    lineage: dict[str, Any] = {"recipe": f"demo_{backbone}", "recipe_hash": "0f0f", "seed": seed}
    origin: dict[str, Any] = {}
    if pretraining_run is not None:
        lineage, origin = {**lineage, "pretraining_run": pretraining_run}, {"steps": 2000}
    return Record(
        identity=f"{task}-{backbone}-{seed}-{recipe_hash}",
        task=TaskRef(task, 1),
        backbone=BackboneRef(backbone, lineage, "d" * 64, origin),
        seed=seed,
        metrics=metrics,
        recipe=RecipeRef(
            f"{task}_demo",
            recipe_hash,
            "Table 11",
            {"epochs": 1, "global_batch": 128},
            {"per_device_batch": 16, "precision": "bf16"},
        ),
        deviations=tuple(deviations),
        artifacts=artifacts or {},
        cost=Cost(60 * minutes, minutes / 60, 10**9, 321.0, 0.02),
        provenance=Provenance(
            f"run_all --suite demo --out runs/demo --seed {seed}",
            "3b59c1b",
            False,
            {"host": "node17", "processor": "test CPU"},
            {"torch": "2.13.0"},
            "2026-08-01T11:59:00+00:00",
            finished,
        ),
    )


@dataclass(frozen=True)
class RunFolder:
    """A folder of runs, filled as the harness fills it."""

    out: Path

    def record(self, task: str, backbone: str, seed: int, metrics: dict[str, float], **more: object) -> Path:
        """Leaves a finished run; returns its folder."""
        record = make_record(task, backbone, seed, metrics, **more)  # type: ignore[arg-type]
        folder = self.folder(task, backbone, seed, record.recipe.hash)
        write_record(folder, record)
        return folder

    def pretrained(self, backbone: str, seed: int, minutes: float) -> str:
        """Leaves a finished pretraining; returns its identity."""
        folder = self.record("pretrain", backbone, seed, {"loss": 0.5}, minutes=minutes)
        return read_record(folder).identity

    def failure(self, task: str, backbone: str, seed: int, reason: str, exit_code: int = 1) -> Path:
        """Leaves a run with one try that did not finish; returns its folder."""
        folder = self.folder(task, backbone, seed)
        started, finished = "2026-08-01T11:59:00+00:00", "2026-08-01T12:00:00+00:00"
        write_attempt(folder, Attempt(reason, exit_code, False, started, finished, "run_all --suite demo"))
        return folder

    def folder(self, task: str, backbone: str, seed: int, recipe_hash: str = "abc123") -> Path:
        """Where a run lies."""
        return self.out / task / backbone / f"{seed}-{recipe_hash}"

    def runs(self) -> Runs:
        """Everything in the folder."""
        return find_runs(self.out)
