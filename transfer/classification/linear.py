"""Linear probing: a batch norm without affine parameters and a linear layer on frozen features."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from crossmae.errors import UserError
from crossmae.wrapped.attention import use_fastest_attention
from transfer.classification.accuracy import measure
from transfer.classification.recipe import LinearProbeProtocol
from transfer.classification.workload import ClassificationWorkload

HEAD_STD = 0.01
BATCH_NORM_EPS = 1e-6


class LinearProbe(ClassificationWorkload[LinearProbeProtocol]):
    """Source of the procedure: MAE appendix A.1 and its released code; CrossMAE Table 12 does not say how it was done.

    The features are those of the last block, through the backbone's final norm if it has one (CrossMAE's has none).
    The class token's head and that of the averaged patch tokens are trained in the same pass; they share
    no parameters, so neither influences the other.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        about, pooling = self.backbone.about, self.protocol.pooling
        self.poolings = ("token", "avg") if about.class_token else ("avg",)
        if pooling not in self.poolings:
            raise UserError(f"{about.source} has no class token", "use pooling=avg")
        self.reported_head = self.poolings.index(pooling)

    def model(self) -> nn.Module:
        """The frozen backbone with its heads."""
        about, side = self.backbone.about, self.protocol.image_size
        vit = self.backbone.features(side).body
        use_fastest_attention(vit, (side // about.patch_size) ** 2 + about.num_prefix)
        return ProbedBackbone(vit, about.num_prefix, about.embed_dim, len(self.train.classes), self.poolings)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Sum of the heads' (binary) cross-entropies."""
        images, labels = batch
        scores = model(images)
        return torch.stack([self.entropy(head_scores, labels) for head_scores in scores]).sum()

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """LARS; biases take no trust ratio."""
        protocol = self.protocol
        return lars(model, lr, protocol.weight_decay, protocol.momentum, protocol.trust_coefficient)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """What ``measure`` says of the recipe's pooling, and ``top1`` or ``mean_ap`` of the other, as ``top1_avg``."""
        share_statistics(model)
        outcomes = dict(zip(self.poolings, self.predict(model, len(self.poolings)), strict=True))
        self.outcomes = outcomes.pop(self.protocol.pooling)
        of_others = {pooling: measure(self.val, other) for pooling, other in outcomes.items()}
        name, *_ = own = measure(self.val, self.outcomes)
        return {**own, **{f"{name}_{pooling}": values[name] for pooling, values in of_others.items()}}


class ProbedBackbone(nn.Module):
    """Returns scores (heads, N, classes) for images (N, 3, H, W)."""

    def __init__(self, vit: nn.Module, prefix: int, width: int, classes: int, poolings: tuple[str, ...]) -> None:
        super().__init__()
        self.vit = vit.requires_grad_(False)
        self.prefix = prefix
        self.heads = nn.ModuleDict({pooling: _head(width, classes) for pooling in poolings})

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            tokens = self.vit.forward_features(images)  # type: ignore[operator]
            features = {"token": tokens[:, 0], "avg": tokens[:, self.prefix :].mean(dim=1)}
        return torch.stack([head(features[pooling]) for pooling, head in self.heads.items()])


def lars(
    model: nn.Module, lr: float, weight_decay: float, momentum: float, trust_coefficient: float
) -> torch.optim.Optimizer:
    """LARS over what is trained; biases take neither weight decay nor trust ratio."""
    from timm.optim import Lars

    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay, "always_adapt": True},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0, "always_adapt": False},
    ]
    optimizer = Lars(groups, lr=lr, momentum=momentum, trust_coeff=trust_coefficient)
    assert isinstance(optimizer, torch.optim.Optimizer)
    return optimizer


def share_statistics(model: nn.Module) -> None:
    """Gives every process the first one's running statistics: each normalised other images since the last update."""
    if dist.is_initialized():
        for statistics in model.buffers():
            dist.broadcast(statistics, src=0)


def _head(width: int, classes: int) -> nn.Sequential:
    linear = nn.Linear(width, classes)
    nn.init.trunc_normal_(linear.weight, std=HEAD_STD)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.BatchNorm1d(width, affine=False, eps=BATCH_NORM_EPS), linear)
