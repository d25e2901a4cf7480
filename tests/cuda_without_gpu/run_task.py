"""One task for a few updates, on the CPU and then on the mimicking GPU.

``python -m tests.cuda_without_gpu.run_task GUARD TASK RECIPE DATA FOLDER OVERRIDE...`` prints one JSON object: for
``cpu`` and ``gpu`` the ``metrics`` of the task, its ``curve`` (every reported step and loss) and its ``waits`` (the
host's, with the lines of ours).
"""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tests.cuda_without_gpu.guard import load

load(Path(sys.argv[1]))

import torch  # noqa: E402 (the guard comes first)

from crossmae.backbone import Backbone  # noqa: E402
from crossmae.run.progress import ProgressFile  # noqa: E402
from tests.cuda_without_gpu import mimic  # noqa: E402
from transfer.harness.plan.tasks import load_specs, recipe_of  # noqa: E402
from transfer.harness.worker.adapter import load_adapter  # noqa: E402
from transfer.task import Context  # noqa: E402


def run(name: str, recipe: str, data: Path, folder: Path, overrides: tuple[str, ...], on_gpu: bool) -> dict[str, Any]:
    """Runs the task; the precision is fp32, so that both devices compute alike."""
    spec = load_specs()[name]
    task = load_adapter(spec)
    folder.mkdir(parents=True)
    context = Context(folder, data, seed=0, precision="fp32")
    backbone = Backbone.load("random:vit_demo") if spec.consumes_backbone else None
    place: AbstractContextManager[list[str]] = mimic.gpu() if on_gpu else nullcontext([])
    with place as waits:
        metrics = task.run(backbone, recipe_of(spec, recipe, overrides), context)
    curve = [(line["step"], line["loss"]) for line in ProgressFile(folder).read() if "loss" in line]
    return {"metrics": metrics, "curve": curve, "waits": list(waits)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    _, _, name, recipe, data, folder, *overrides = sys.argv
    places = {place: Path(folder) / place for place in ("cpu", "gpu")}
    outcomes = {
        place: run(name, recipe, Path(data), path, tuple(overrides), place == "gpu") for place, path in places.items()
    }
    print(json.dumps(outcomes))
