"""The states of one run: which one to resume from, when to delete which, and the evidence of a failure.

Every engine keeps its states here: ours, detectron2's and mmengine's.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError, one_line
from crossmae.files import write_json
from crossmae.parsing import read_json
from crossmae.train.checkpoint.state_file import prune, save_state, states
from crossmae.train.runtime.distributed import World

log = logging.getLogger("crossmae")

NONFINITE = "nonfinite"
"""Folder of the evidence in a run's folder."""


class CheckpointManager:
    """Keeps a run's states in ``folder/state``: every process reads them, the main one writes them.

    Args:
        folder: the run's folder; the caller holds its lock.
        world: the processes of the run, as ``join_world`` gives them also where an engine connected them.
        keep: number of newest states that are kept.
        milestone_every: steps between two states that are kept for good; None keeps none of them.
    """

    def __init__(self, folder: Path, world: World, keep: int = 2, milestone_every: int | None = None) -> None:
        self.run_folder = folder
        self.folder = folder / "state"
        self.world, self.keep, self.milestone_every = world, keep, milestone_every
        self.saved: int | None = None
        """Step of the state that this start wrote last."""

    def restore(self, identity: Mapping[str, Any], load: Callable[[dict[str, Any]], None]) -> int:
        """Hands the ``newest`` state to ``load``, if there is one.

        Returns:
            The updates that lie behind the state; 0 in a new folder.

        Raises:
            UserError: as ``newest``, or ``load`` can do nothing with what the state holds.
        """
        state = self.newest(identity)
        if state is None:
            return 0
        try:
            load(state)
        except Exception as error:  # what is no state of this run fails in every way there is
            what = f"{self.folder} holds the state of another run ({one_line(error, 160)})"
            raise UserError(what, _ANEW.format(self.folder)) from error
        return int(state["step"])

    def newest(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """The newest state that is whole, with its tensors on the CPU, or None in a new folder.

        To be called on every process, once, before the first ``save``.

        Args:
            identity: every value that decides what is learned, as plain JSON types. A new folder keeps it; a folder
                that was started with other values is refused.

        Raises:
            UserError: the folder was started with other values, which the line names, or none of its states can be
                read; on every process.
        """
        state, failure = None, None
        if self.world.is_main:
            try:
                _claim(self.folder, identity)
                state = _newest_whole(self.folder)
            except UserError as error:
                failure = (error.what, error.remedy)
        step, failure = self.world.share((state and state["step"], failure))
        if failure is not None:
            raise UserError(*failure)
        if step is None or self.world.is_main:
            return state
        state = next((file.load() for file in states(self.folder) if file.step == step), None)
        if state is None:
            raise UserError(f"this process cannot read the state after update {step} in {self.folder}")
        return state

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes ``state`` and deletes the states that are no longer needed. Only the main process writes.

        Args:
            step: updates made so far; kept with the state as ``step``.
            state: tensors, plain values, and mappings and lists of them; NumPy's numbers become plain ones.

        Raises:
            UserError: the disk is full; states written before are intact.
            TypeError: ``state`` holds an object that could not be read back.
        """
        self.saved = step
        if self.world.is_main:
            save_state(self.folder, step, state)
            prune(self.folder, self.keep, self.milestone_every)

    def save_evidence(self, step: int, state: Mapping[str, Any], names: list[list[str]]) -> Path:
        """Keeps the state before a failed update and the names of its samples by process; returns the folder."""
        folder = self.run_folder / NONFINITE
        if self.world.is_main:
            save_state(folder, step, state)
            samples = {f"rank {rank}": mine for rank, mine in enumerate(names) if mine}
            write_json(samples, folder / f"step-{step:08d}.samples.json")
        return folder


def _newest_whole(folder: Path) -> dict[str, Any] | None:
    files = states(folder)
    for file in files:
        state = file.load()
        if state is not None:
            return state
        log.warning("%s is damaged; going back to the state before it", file.path)
    if files:
        raise UserError(f"none of the states in {folder} can be read", "delete that folder to start anew")
    return None


def _claim(folder: Path, identity: Mapping[str, Any]) -> None:
    """Writes ``identity`` into a new folder, or compares it with what an earlier start wrote there."""
    path = folder / "identity.json"
    wanted = json.loads(json.dumps(identity))
    if not path.exists():
        write_json(wanted, path)
        return
    if changes := list(_changes(_read(path), wanted, "")):
        raise UserError(
            f"{folder.parent} was started with another recipe: {'; '.join(changes)}",
            "choose another folder, or the old values to resume",
        )


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, _ANEW.format(path.parent))
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no values of a run", _ANEW.format(path.parent))
    return content


_ANEW = "delete {} to start anew"


def _changes(before: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            yield from _changes(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield f"{name} {before} -> {now}"
