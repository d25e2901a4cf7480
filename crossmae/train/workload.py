"""What the engine trains: the contract between ``fit`` and pretraining or classification."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from crossmae.data.keyed import SampleKey


class KeyedDataset(Protocol):
    """Training data. An item must be a function of its key alone (see ``crossmae.data.keyed``).

    A data set that makes whole batches faster than items also has ``__getitems__(keys) -> samples``, which is then
    called with one micro-batch of keys; its result goes to ``Workload.collate`` as it is. ``name(index)`` is what logs
    call a sample (its path).
    """

    def __len__(self) -> int: ...

    def __getitem__(self, key: SampleKey) -> Any: ...

    def name(self, index: int) -> str: ...


class Learner(ABC):
    """A model, its loss and its optimizer: what an update needs to know of a workload."""

    @abstractmethod
    def model(self) -> nn.Module:
        """The model with its initial weights, on the CPU; called once, with the global generators seeded."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The mean loss over the micro-batch, a scalar, called within autocast.

        Args:
            model: what ``model()`` returned, on the device, inside DistributedDataParallel where there are several
                processes. To be called (as a whole, not a part of it) exactly once.
            batch: what ``collate`` returned, with every tensor on the device.

        The global generators (``random``, NumPy, torch) are seeded for each micro-batch by (seed, update, place of the
        micro-batch in the update), so that drop path, mixup and the like repeat exactly after a resume.
        """

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """The optimizer over ``model``'s parameters.

        A group may carry ``lr_scale`` (layer decay): the engine sets ``group["lr"]`` to the schedule's value times it
        before each update. ``crossmae.train.optim.adamw`` builds the usual one. Default: AdamW (.9, .999) without
        weight decay.
        """
        from crossmae.train.optim import adamw

        return adamw([{"params": [p for p in model.parameters() if p.requires_grad]}], lr)


class Workload(Learner):
    """One thing to train. Methods are called on every process."""

    identity: Mapping[str, Any]
    """Every value outside the TrainPlan that decides what is learned, as plain JSON types (recipe, backbone digest,
    fingerprint of the data). A folder that was started with other values is refused, naming those that differ."""

    @abstractmethod
    def dataset(self) -> KeyedDataset:
        """The training data; called once."""

    def prepare(self, batch: Any) -> Any:
        """What ``loss`` is called with, of a collated batch whose tensors are on the device; nothing random."""
        return batch

    def collate(self, samples: Any) -> Any:
        """Makes one batch of a micro-batch's samples; torch's default unless overridden."""
        return torch.utils.data.default_collate(samples)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Metrics of the model (unwrapped, on the device, in eval mode, gradients off); called on every process.

        Must return the same values on every process (reduce inside; every sample counted once). Default: nothing.
        """
        del model
        return {}

    def sample_names(self, dataset: KeyedDataset, keys: Sequence[SampleKey]) -> list[str]:
        """What the log calls these samples."""
        return [dataset.name(key.index) for key in keys]
