"""End-to-end fine-tuning: the whole backbone and a linear head, with layer decay and mixing of images."""

from collections.abc import Callable
from typing import Any, cast

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from crossmae.backbone import BackboneSpec
from crossmae.errors import UserError
from crossmae.model.blocks import NORM_EPS
from crossmae.train.optim import adamw
from crossmae.wrapped.attention import use_fastest_attention
from crossmae.wrapped.layers import decayed_groups
from crossmae.wrapped.maps import Maps, normed
from transfer.classification.recipe import FinetuneProtocol, Pooling
from transfer.classification.workload import ClassificationWorkload

HEAD_STD = 2e-5
"""Standard deviation of the head's initial weights (released code of MAE)."""


Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Images (N, 3, H, W) and labels, (N,) or (N, classes), to images and targets (N, classes)."""


class Finetune(ClassificationWorkload[FinetuneProtocol]):
    """Source of the procedure: MAE's released fine-tuning code and CrossMAE's README."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train.several and self.protocol.label_smoothing:
            raise UserError("labels are not smoothed where images have several", "set label_smoothing=0")
        self.mix = mixer(self.protocol, len(self.train.classes), self.train.several)

    def model(self) -> nn.Module:
        """timm's ViT with the backbone's weights and a new head, or the maps of a wrapped backbone with one."""
        model = self._plain() if isinstance(self.backbone.about, BackboneSpec) else self._wrapped()
        nn.init.trunc_normal_(model.head.weight, std=HEAD_STD)
        nn.init.zeros_(model.head.bias)
        return model

    def _plain(self) -> VisionTransformer:
        protocol = self.protocol
        model = self.backbone.to_timm(
            len(self.train.classes),
            image_size=protocol.image_size,
            drop_path=protocol.drop_path,
            global_pool=protocol.pooling,
            expected_missing=self.backbone.spec.missing,
        )
        use_fastest_attention(model, model.pos_embed.shape[1])
        return model

    def _wrapped(self) -> "WrappedClassifier":
        protocol, about = self.protocol, self.backbone.about
        if protocol.pooling == "token" and not about.class_token:
            raise UserError(f"{about.source} has no class token", "use pooling=avg")
        maps = self.backbone.maps(protocol.image_size, [about.depth - 1], drop_path=protocol.drop_path)
        use_fastest_attention(maps, (protocol.image_size // about.patch_size) ** 2)
        return WrappedClassifier(maps, len(self.train.classes), protocol.pooling)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Cross-entropy, or binary cross-entropy, with the (mixed, smoothed) targets."""
        images, targets = self.mix(*batch)
        return self.entropy(model(images), targets)

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """AdamW with a learning rate that shrinks from the head to the patch embedding."""
        protocol = self.protocol
        if isinstance(model, WrappedClassifier):
            groups = decayed_groups(model, model.maps.trunk, protocol.weight_decay, protocol.layer_decay)
        else:
            groups = layer_decay_groups(cast(VisionTransformer, model), protocol.weight_decay, protocol.layer_decay)
        return adamw(groups, lr, protocol.betas)


class WrappedClassifier(nn.Module):
    """A linear head over the last map of any backbone, pooled as MAE's fine-tuning does.

    ``avg``: patch tokens are averaged and then normalised by a new norm, and the backbone's own final norm is left out.
    ``token``: the class token, through the backbone's own final norm if it has one.
    """

    def __init__(self, maps: Maps, classes: int, pooling: Pooling) -> None:
        super().__init__()
        width = maps.channels[-1]
        self.maps, self.pooling = maps, pooling
        self.fc_norm = nn.LayerNorm(width, eps=NORM_EPS) if pooling == "avg" else maps.final_norm
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        if self.pooling == "avg":
            pooled = self.maps(images)[-1].mean(dim=(2, 3))
        else:
            pooled = self.maps.with_prefix(images)[0][:, 0]
        scores: Tensor = self.head(normed(self.fc_norm, pooled))
        return scores


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


def mixer(protocol: FinetuneProtocol, classes: int, several: bool = False) -> Mix:
    """timm's Mixup as the recipe has it, or smoothed one-hot targets alone if it mixes nothing."""
    if several:
        return _mixer_of_several(protocol)
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


def _mixer_of_several(protocol: FinetuneProtocol) -> Mix:
    """timm's Mixup where images have several labels: the labels of two images are mixed as their pixels are.

    timm mixes classes alone. Told that every image is a class of its own, it says how much of which image is where.
    """
    if not protocol.mixup and not protocol.cutmix:
        return lambda images, labels: (images, labels)
    from timm.data import Mixup

    mixup = Mixup(mixup_alpha=protocol.mixup, cutmix_alpha=protocol.cutmix, label_smoothing=0.0)

    def mix(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if len(images) % 2:
            return images, labels
        mixup.num_classes = len(images)
        mixed, shares = mixup(images, torch.arange(len(images), device=images.device))
        return mixed, shares @ labels.to(shares.dtype)

    return mix


def smooth(labels: Tensor, classes: int, amount: float) -> Tensor:
    """One-hot targets (N, classes) that give up ``amount`` to all classes alike."""
    targets = torch.full((len(labels), classes), amount / classes, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - amount + amount / classes)
