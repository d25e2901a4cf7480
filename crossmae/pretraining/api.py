"""``crossmae.pretrain``: what the command does, from Python."""

import os
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from crossmae.pretraining.run import Pretrained, data_path, load_pretraining_recipe
from crossmae.pretraining.run import pretrain as run
from crossmae.run.lock import hold_folder
from crossmae.run.progress import ProgressFile
from crossmae.run.rank import is_main
from crossmae.run.stop import leaving_at_once
from crossmae.train.config import Device
from crossmae.train.monitor.console import console

if TYPE_CHECKING:
    import pandas as pd


def pretrain(
    recipe: str,
    out: str | Path,
    overrides: Iterable[str] = (),
    data: str | Path | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> "tuple[Pretrained, pd.DataFrame]":
    """Pretrains an autoencoder and leaves it in ``out/checkpoint``: the same as ``crossmae pretrain``.

    Called again with the same arguments it resumes where it was stopped, and returns at once when it is finished. To be
    called in the main thread, as in a notebook's cell: interrupting the cell saves the state.

    Args:
        recipe: name of a recipe, or path of a YAML file.
        out: folder of the run.
        overrides: ``key=value`` for values of the recipe.
        data: image folder, list of files or folder of tar shards. Default: where the recipe's data set usually lies;
            the demo's images are generated.
        seed: decides initial weights, order, crops and masks.
        device: ``auto`` is a GPU where there is one.

    Returns:
        What was made (its ``checkpoint`` is a source for ``transfer.evaluate`` and ``Backbone.load``), and the learning
        curve, one row per report.

    Raises:
        UserError: an unknown recipe or value, missing data, a folder that another process works on; one line each.
        Stopped: a signal came; the state is saved.
    """
    with leaving_at_once():
        resolved, folder = load_pretraining_recipe(recipe, tuple(overrides)), Path(out)
        images = data_path(resolved.protocol["dataset"]) if data is None else Path(data)
        with _locked(folder), console(folder) as progress:
            done = run(resolved, images, folder, seed, progress, device)
    return done, _curve(folder)


def _curve(folder: Path) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(ProgressFile(folder).read())


def _locked(folder: Path) -> AbstractContextManager[object]:
    # torchrun's other processes join the first one's lock in ``fit``; a restarted process outwaits those it replaces.
    if not is_main():
        return nullcontext()
    return hold_folder(folder, wait=60.0 if "TORCHELASTIC_RUN_ID" in os.environ else 0.0)
