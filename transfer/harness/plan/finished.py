"""Runs that train nothing: the evaluation of a finished model."""

from pathlib import Path

from crossmae.recipe import Recipe, digest_of
from transfer.harness.plan.lineage import digest_of_file
from transfer.harness.plan.plan import Run
from transfer.task import TaskSpec


def evaluation_of(weights: Path, name: str, spec: TaskSpec, recipe: Recipe, out: Path, demo: bool = False) -> Run:
    """The run that evaluates the model in the file ``weights``; its folder is ``out/TASK/NAME/0-HASH``."""
    lineage = {"finished_model": digest_of_file(weights, out / "digests.json")}
    identity = digest_of({"task": spec.name, "version": spec.version, "protocol": recipe.protocol, **lineage})
    folder = out / spec.name / name / f"0-{identity}"
    return Run(spec, recipe, name, None, lineage, 0, identity, folder, demo_data=demo, weights=weights)
