"""detectron2's checkpointer with one file, written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer


class AtomicCheckpointer(DetectionCheckpointer):
    """Keeps one state, ``<save_dir>/<name>.pth``; a kill while saving leaves the one before."""

    def save(self, name: str, **extra: Any) -> None:
        """Writes model and checkpointables, on the main process only."""
        if not self.save_to_disk:
            return
        states = {key: thing.state_dict() for key, thing in self.checkpointables.items()}
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as file:
            torch.save({"model": self.model.state_dict(), **states, **extra}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    def resume(self, name: str) -> bool:
        """Loads the state called ``name`` if there is one."""
        path = self._path(name)
        if not path.is_file():
            return False
        self.load(str(path))
        return True

    def _path(self, name: str) -> Path:
        return Path(self.save_dir) / f"{name}.pth"
