"""Resume states of a detector in training, under the guarantees of ``crossmae.train.checkpoint``."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from crossmae.backbone import Backbone
from crossmae.data.images import digest_of_bytes
from crossmae.recipe import Recipe
from crossmae.train.checkpoint.manager import CheckpointManager
from detection.data.layout import annotation_file
from transfer.task import Context


class DetectorStates:
    """Saves and loads weights, optimizer and the number of updates; the learning rate follows from that number.

    Args:
        model: the detector without its wrapper for several processes.
    """

    def __init__(self, manager: CheckpointManager, model: nn.Module, optimizer: Optimizer) -> None:
        self.manager, self.model, self.optimizer = manager, model, optimizer

    def resume(self, identity: Mapping[str, Any]) -> int:
        """Loads the newest state that is whole and returns the updates that lie behind it; 0 in a new run.

        Raises:
            UserError: the folder is another run's, or none of its states can be used.
        """
        return self.manager.restore(identity, self._load)

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def save(self, step: int) -> None:
        """Saves the state after ``step`` updates, on the main process only."""
        state = {"step": step, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        self.manager.save(step, state)


def identity_of(
    backbone: Backbone, recipe: Recipe, context: Context, relative_positions: bool, wrapped: bool
) -> dict[str, Any]:
    """What a state belongs to: only a start with the same values may resume from it."""
    assert context.data_root is not None
    annotations = digest_of_bytes(annotation_file(context.data_root, "train"))[:16]
    return {
        "protocol": recipe.hash,
        "backbone": backbone.digest,
        "seed": context.seed,
        "relative_positions": relative_positions,
        "data": annotations,
        **({"wrapped": backbone.about.function} if wrapped else {}),
    }
