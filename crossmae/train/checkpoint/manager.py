"""The states of one run: which to go on from, when to delete which, and the evidence of a failure."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.train.checkpoint.identity import claim
from crossmae.train.checkpoint.state_file import StateFile, prune, save_state, states
from crossmae.train.runtime.distributed import World

log = logging.getLogger("crossmae")


class CheckpointManager:
    """Reads on every process, writes on the main one."""

    def __init__(self, folder: Path, world: World, keep: int = 2, milestone_every: int | None = None) -> None:
        self.run_folder = folder
        self.folder = folder / "state"
        self.world, self.keep, self.milestone_every = world, keep, milestone_every
        self.saved: int | None = None
        """Update of the state that this start wrote last."""

    def newest(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest state that is whole, or None in a new folder.

        Raises:
            UserError: the folder belongs to another recipe, or none of its states is whole; on every process.
        """
        state, failure = None, None
        if self.world.is_main:
            try:
                claim(self.folder, identity)
                state = _newest_whole(self.folder)
            except UserError as error:
                failure = str(error)
        step, failure = self.world.share((state and state["step"], failure))
        if failure is not None:
            raise UserError(failure)
        if step is None or self.world.is_main:
            return state
        return next(found for found in states(self.folder) if found.step == step).load()

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes a state and deletes those that are no longer needed."""
        self.saved = step
        if self.world.is_main:
            save_state(self.folder, step, state)
            prune(self.folder, self.keep, self.milestone_every)

    def save_evidence(self, step: int, state: Mapping[str, Any], names: list[list[str]]) -> Path:
        """Keeps the state before a failed update and the names of its samples by process; returns the folder."""
        folder = self.run_folder / "nonfinite"
        if self.world.is_main:
            save_state(folder, step, state)
            samples = {f"rank {rank}": mine for rank, mine in enumerate(names) if mine}
            (folder / f"step-{step:08d}.samples.json").write_text(json.dumps(samples, indent=1))
        return folder


def _newest_whole(folder: Path) -> dict[str, Any] | None:
    found = states(folder)
    for file in found:
        state = _load(file)
        if state is not None:
            return state
        log.warning("%s is damaged; going back to the state before it", file.path)
    if found:
        raise UserError(f"none of the states in {folder} can be read; delete that folder to start anew")
    return None


def _load(file: StateFile) -> dict[str, Any] | None:
    try:
        return file.load()
    except OSError as error:
        log.warning("%s: %s", file.path, error.strerror)
        return None
