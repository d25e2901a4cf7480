"""End-to-end fine-tuning: the whole backbone and a linear head, with layer decay and mixing of images."""

from collections.abc import Callable
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from crossmae.backbone import Backbone
from crossmae.train.optim import adamw
from transfer.classification.attention import use_fastest_attention
from transfer.classification.recipe import ClassificationExecution, FinetuneProtocol
from transfer.classification.workload import ClassificationWorkload
from transfer.datasets.labelled import LabelledImages

HEAD_STD = 2e-5
"""Standard deviation of the head's initial weights (released code of MAE)."""


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (N, 3, H, W) and labels (N,) to images and targets (N, classes)."""


class Finetune(ClassificationWorkload):
    """Source of the procedure: MAE's released fine-tuning code and CrossMAE's README."""

    def __init__(
        self,
        backbone: Backbone,
        protocol: FinetuneProtocol,
        train: LabelledImages,
        val: LabelledImages,
        seed: int,
        execution: ClassificationExecution,
    ) -> None:
        super().__init__(backbone, protocol, train, val, seed, execution)
        self.protocol = protocol
        self.mix = mixer(protocol, len(train.classes))

    def model(self) -> VisionTransformer:
        """timm's ViT with the backbone's weights and a new head."""
        protocol = self.protocol
        model = self.backbone.to_timm(
            len(self.train.classes),
            image_size=protocol.image_size,
            drop_path=protocol.drop_path,
            global_pool=protocol.pooling,
            expected_missing=self.backbone.spec.missing,
        )
        nn.init.trunc_normal_(model.head.weight, std=HEAD_STD)
        nn.init.zeros_(model.head.bias)
        use_fastest_attention(model, model.pos_embed.shape[1])
        return model

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Cross-entropy with the (mixed, smoothed) targets."""
        images, targets = self.mix(*batch)
        return nn.functional.cross_entropy(model(images), targets)

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """AdamW with a learning rate that shrinks from the head to the patch embedding."""
        protocol = self.protocol
        return adamw(
            layer_decay_groups(cast(VisionTransformer, model), protocol.weight_decay, protocol.layer_decay),
            lr,
            protocol.betas,
        )


def layer_decay_groups(model: VisionTransformer, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Parameter groups with ``lr_scale``: 1 for the head, times ``layer_decay`` for each layer further down.

    Biases, norms, tokens and position embeddings are not decayed. A final norm before the head has the head's scale and
    not the last block's, which timm gives it. Source: released code of MAE.
    """
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        model, weight_decay, no_weight_decay_list=model.no_weight_decay(), layer_decay=layer_decay
    )
    norm = list(model.norm.parameters())
    of_norm = {id(parameter) for parameter in norm}
    rest = [{**group, "params": [p for p in group["params"] if id(p) not in of_norm]} for group in groups]
    if norm:
        rest.append({"params": norm, "weight_decay": 0.0, "lr_scale": 1.0})
    return [{name: group[name] for name in ("params", "weight_decay", "lr_scale")} for group in rest]


def mixer(protocol: FinetuneProtocol, classes: int) -> Mix:
    """timm's Mixup as the recipe has it, or smoothed one-hot targets alone if it mixes nothing."""
    if not protocol.mixup and not protocol.cutmix:
        return lambda images, labels: (images, smooth(labels, classes, protocol.label_smoothing))
    from timm.data import Mixup

    mixup = Mixup(
        mixup_alpha=protocol.mixup,
        cutmix_alpha=protocol.cutmix,
        label_smoothing=protocol.label_smoothing,
        num_classes=classes,
    )

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) % 2:  # timm mixes a batch with its mirror image and refuses odd ones
            return images, smooth(labels, classes, protocol.label_smoothing)
        mixed, targets = mixup(images, labels)
        return mixed, targets

    return mix


def smooth(labels: Tensor, classes: int, amount: float) -> Tensor:
    """One-hot targets (N, classes) that give up ``amount`` to all classes alike."""
    targets = torch.full((len(labels), classes), amount / classes, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - amount + amount / classes)
