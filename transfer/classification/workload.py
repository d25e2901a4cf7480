"""What fine-tuning and linear probing share as workloads of the training engine."""

from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from crossmae.backbone import Backbone
from crossmae.train.workload import KeyedDataset, Workload
from crossmae.wrapped.build import require_whole_patches
from transfer.classification.accuracy import Outcomes, measure, predict
from transfer.classification.images import EvaluationImages, TrainImages
from transfer.classification.recipe import ClassificationExecution, ClassificationProtocol
from transfer.classification.transforms import evaluation_transform, normalize, training_transform
from transfer.datasets.labelled import LabelledImages

P = TypeVar("P", bound=ClassificationProtocol)


@dataclass(eq=False)
class ClassificationWorkload(Workload, Generic[P]):
    """A classifier over a backbone, with its training and validation images.

    Raises:
        UserError: the backbone's patches do not cover the recipe's images.
    """

    backbone: Backbone
    protocol: P
    train: LabelledImages
    val: LabelledImages
    seed: int
    execution: ClassificationExecution

    def __post_init__(self) -> None:
        require_whole_patches(self.protocol.image_size, self.backbone.about)
        self.outcomes: Outcomes | None = None
        """Those of the newest evaluation."""
        self.reported_head = 0
        """Of a model with several heads, the one whose accuracy is ``top1``."""
        self.identity = {
            "values": asdict(self.protocol),
            "backbone": self.backbone.digest,
            "train": self.train.fingerprint,
            "val": self.val.fingerprint,
            "seed": self.seed,
        }

    def dataset(self) -> KeyedDataset:
        """Augmented training images."""
        about, protocol = self.backbone.about, self.protocol
        transform = training_transform(
            protocol.augmentation, protocol.image_size, about.mean, about.std, about.interpolation
        )
        return TrainImages(self.train, transform, self.seed, self.execution.keep_decoded)

    def prepare(self, batch: Any) -> Any:
        """Images (N, 3, S, S), normalised on the device, and labels (N,), or (N, classes) of 0 and 1."""
        images, labels = batch
        return normalize(images, self.backbone.about.mean, self.backbone.about.std), labels

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """``top1`` and ``top5``, or ``mean_ap``, on all validation images, in percent."""
        (self.outcomes,) = self.predict(model)
        return measure(self.val, self.outcomes)

    def entropy(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; where images have several labels, binary cross-entropy, its mean over images and classes.

        The latter is timm's ``BinaryCrossEntropy`` of dense targets, which it takes as they are.
        """
        if self.train.several:
            return binary_cross_entropy_with_logits(scores, targets.to(scores.dtype))
        return cross_entropy(scores, targets)

    def predict(self, model: nn.Module, heads: int = 1) -> tuple[Outcomes, ...]:
        """Classifies all validation images, with each of the model's heads."""
        execution, images = self.execution, self._evaluation_images()
        batch = execution.evaluation_batch or execution.per_device_batch
        return predict(model, images, heads, batch, execution.workers, execution.precision == "bf16")

    def _evaluation_images(self) -> EvaluationImages:
        rank, world = 0, 1
        if torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        about, protocol = self.backbone.about, self.protocol
        transform = evaluation_transform(
            protocol.image_size, protocol.crop_pct, about.mean, about.std, about.interpolation
        )
        return EvaluationImages(self.val, transform, rank, world, self.execution.keep_decoded)
