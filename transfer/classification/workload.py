"""What fine-tuning and linear probing share as workloads of the training engine."""

from dataclasses import asdict, dataclass

import torch
from torch import nn

from crossmae.backbone import Backbone
from crossmae.train.workload import KeyedDataset, Workload
from transfer.classification.accuracy import Outcomes, predict, top_k
from transfer.classification.augment import evaluation_transform
from transfer.classification.images import EvaluationImages, TrainImages
from transfer.classification.values import Values
from transfer.datasets import LabelledImages


@dataclass(frozen=True)
class Loading:
    """How images are read; no part of what is learned."""

    workers: int = 0
    evaluation_batch: int = 64
    keep_decoded: bool = False
    """Keep decoded pictures in memory: for small data sets only."""
    bf16: bool = False


class ClassificationWorkload(Workload):
    """A classifier over a backbone, with its training and validation images."""

    def __init__(
        self,
        backbone: Backbone,
        values: Values,
        train: LabelledImages,
        val: LabelledImages,
        seed: int,
        loading: Loading,
    ) -> None:
        self.backbone = backbone
        self.train = train
        self.val = val
        self.seed = seed
        self.loading = loading
        self.outcomes: Outcomes | None = None
        """Of the newest evaluation."""
        self.identity = {
            "values": asdict(values),
            "backbone": backbone.digest,
            "train": train.fingerprint,
            "val": val.fingerprint,
            "seed": seed,
        }
        self._common = values

    def dataset(self) -> KeyedDataset:
        """Augmented training images."""
        transform = self._common.augmentation.build(self._common.image_size)
        return TrainImages(self.train, transform, self.seed, self.loading.keep_decoded)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """``top1`` and ``top5`` on all validation images, in percent."""
        (self.outcomes,) = self.predict(model)
        return {"top1": top_k(self.outcomes, 1), "top5": top_k(self.outcomes, 5)}

    def predict(self, model: nn.Module, heads: int = 1) -> tuple[Outcomes, ...]:
        """Classifies all validation images, with each of the model's heads."""
        loading = self.loading
        images = self._evaluation_images()
        return predict(model, images, heads, loading.evaluation_batch, loading.workers, loading.bf16)

    def _evaluation_images(self) -> EvaluationImages:
        rank, world = 0, 1
        if torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        transform = evaluation_transform(self._common.image_size, self._common.crop_pct)
        return EvaluationImages(self.val, transform, rank, world, self.loading.keep_decoded)
