"""End-to-end fine-tuning: the whole backbone and a linear head, with layer decay and mixing of images."""

from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from crossmae.backbone import Backbone
from crossmae.train.optim import adamw
from transfer.classification.attention import use_fastest_attention
from transfer.classification.mixing import mixer
from transfer.classification.values import FinetuneValues
from transfer.classification.workload import ClassificationWorkload, Loading
from transfer.datasets import LabelledImages

HEAD_STD = 2e-5
"""Spread of the head's initial weights (released code of MAE)."""


class Finetune(ClassificationWorkload):
    """Source of the procedure: MAE's released fine-tuning code and CrossMAE's README."""

    def __init__(
        self,
        backbone: Backbone,
        values: FinetuneValues,
        train: LabelledImages,
        val: LabelledImages,
        seed: int,
        loading: Loading,
    ) -> None:
        super().__init__(backbone, values, train, val, seed, loading)
        self.values = values
        self.mix = mixer(values, len(train.classes))

    def model(self) -> VisionTransformer:
        """timm's ViT with the backbone's weights and a new head."""
        values = self.values
        model = self.backbone.to_timm(
            len(self.train.classes),
            image_size=values.image_size,
            drop_path=values.drop_path,
            global_pool=values.pooling,
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
        values = self.values
        return adamw(
            layer_decay_groups(cast(VisionTransformer, model), values.weight_decay, values.layer_decay),
            lr,
            values.betas,
        )


def layer_decay_groups(model: VisionTransformer, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Parameter groups with ``lr_scale``: 1 for the head, times ``layer_decay`` for each layer further down.

    Biases, norms, tokens and position embeddings are not decayed. Source: released code of MAE.
    """
    from timm.optim import param_groups_layer_decay

    groups = param_groups_layer_decay(
        model, weight_decay, no_weight_decay_list=model.no_weight_decay(), layer_decay=layer_decay
    )
    return [{name: group[name] for name in ("params", "weight_decay", "lr_scale")} for group in groups]
