"""What fine-tuning and linear probing share as workloads of the training engine."""

from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from crossmae.backbone import Backbone
from crossmae.train.workload import KeyedDataset, Workload
from crossmae.wrapped.build import require_whole_patches
from transfer.classification.accuracy import Outcomes, predict, top_k
from transfer.classification.images import EvaluationImages, TrainImages
from transfer.classification.recipe import ClassificationExecution, ClassificationProtocol
from transfer.classification.transforms import evaluation_transform, normalize, training_transform
from transfer.datasets.labelled import LabelledImages


class ClassificationWorkload(Workload):
    """A classifier over a backbone, with its training and validation images."""

    def __init__(
        self,
        backbone: Backbone,
        protocol: ClassificationProtocol,
        train: LabelledImages,
        val: LabelledImages,
        seed: int,
        execution: ClassificationExecution,
    ) -> None:
        """Raises UserError if the backbone's patches do not cover the recipe's images."""
        require_whole_patches(protocol.image_size, backbone.about)
        self.backbone = backbone
        self.train = train
        self.val = val
        self.seed = seed
        self.execution = execution
        self.outcomes: Outcomes | None = None
        """Those of the newest evaluation."""
        self.reported_head = 0
        """Of a model with several heads, the one whose accuracy is ``top1``."""
        self.identity = {
            # Left out where it does nothing, so that runs begun before there was such a value resume.
            "values": {name: value for name, value in asdict(protocol).items() if name != "least_steps" or value},
            "backbone": backbone.digest,
            "train": train.fingerprint,
            "val": val.fingerprint,
            "seed": seed,
        }
        self.common = protocol
        """The values that fine-tuning and linear probing have in common."""

    def dataset(self) -> KeyedDataset:
        """Augmented training images."""
        about, common = self.backbone.about, self.common
        transform = training_transform(
            common.augmentation, common.image_size, about.mean, about.std, about.interpolation
        )
        return TrainImages(self.train, transform, self.seed, self.execution.keep_decoded)

    def prepare(self, batch: Any) -> Any:
        """Images (N, 3, S, S), normalised on the device, and labels (N,)."""
        images, labels = batch
        return normalize(images, self.backbone.about.mean, self.backbone.about.std), labels

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """``top1`` and ``top5`` on all validation images, in percent."""
        (self.outcomes,) = self.predict(model)
        return {"top1": top_k(self.outcomes, 1), "top5": top_k(self.outcomes, 5)}

    def predict(self, model: nn.Module, heads: int = 1) -> tuple[Outcomes, ...]:
        """Classifies all validation images, with each of the model's heads."""
        execution, images = self.execution, self._evaluation_images()
        batch = execution.evaluation_batch or execution.per_device_batch
        return predict(model, images, heads, batch, execution.workers, execution.precision == "bf16")

    def _evaluation_images(self) -> EvaluationImages:
        rank, world = 0, 1
        if torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        about, common = self.backbone.about, self.common
        transform = evaluation_transform(common.image_size, common.crop_pct, about.mean, about.std, about.interpolation)
        return EvaluationImages(self.val, transform, rank, world, self.execution.keep_decoded)
