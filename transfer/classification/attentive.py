"""Attentive probes: patch tokens of a frozen backbone, pooled by attention that is trained with the classifier.

``ep``: Efficient Probing (arXiv 2506.10178) as its released code has it, 32 queries against the tokens themselves.
``capi``: the probe of CAPI's released code, one query and projected keys and values.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from crossmae.errors import UserError
from crossmae.features import Features
from crossmae.train.optim import adamw
from crossmae.wrapped.attention import use_fastest_attention
from transfer.classification.linear import BATCH_NORM_EPS, lars, share_statistics
from transfer.classification.recipe import AttentiveProbeProtocol
from transfer.classification.workload import ClassificationWorkload

QUERY_STD = 0.02
"""Standard deviation of the initial queries (both papers' code)."""
CAPI_HEAD_WIDTH = 64


class EfficientProbing(nn.Module):
    """Scores (N, classes) from tokens (N, L, D); ``queries`` divides D.

    Query j weighs the tokens by softmax(q_j . x / sqrt(D)), and pools the j-th of Q equal parts of their values. The
    parts are joined again, normalised by a batch norm without parameters, and classified.
    """

    def __init__(self, width: int, classes: int, queries: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(QUERY_STD * torch.randn(queries, width))
        self.values = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width, affine=False, eps=BATCH_NORM_EPS)
        self.classifier = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of tokens (N, L, D)."""
        count, width = self.queries.shape
        weights = (self.queries @ tokens.mT * width**-0.5).softmax(dim=2)
        parts = self.values(tokens).unflatten(2, (count, -1))
        pooled = torch.einsum("nql,nlqd->nqd", weights, parts).flatten(1)
        scores: Tensor = self.classifier(self.norm(pooled))
        return scores


class CapiProbe(nn.Module):
    """Scores (N, classes) from tokens (N, L, D): one query, heads of 64, keys and values projected with a bias."""

    def __init__(self, width: int, classes: int, head_width: int = CAPI_HEAD_WIDTH) -> None:
        super().__init__()
        self.heads = width // head_width
        self.query = nn.Parameter(torch.empty(width))
        self.keys_and_values = nn.Linear(width, 2 * width)
        self.classifier = nn.Linear(width, classes)
        for weight in (self.query, self.keys_and_values.weight, self.classifier.weight):
            nn.init.trunc_normal_(weight, std=QUERY_STD)
        for bias in (self.keys_and_values.bias, self.classifier.bias):
            nn.init.zeros_(bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """The scores of tokens (N, L, D)."""
        split = self.keys_and_values(tokens).unflatten(2, (2, self.heads, -1))
        keys, values = split.permute(2, 0, 3, 1, 4)
        query = self.query.view(1, self.heads, 1, -1).expand(len(tokens), -1, -1, -1).to(keys.dtype)
        scores: Tensor = self.classifier(scaled_dot_product_attention(query, keys, values).flatten(1))
        return scores


class AttentiveProbe(ClassificationWorkload[AttentiveProbeProtocol]):
    """One attentive probe, trained on augmented images; the backbone stays as it is, in evaluation mode."""

    def __post_init__(self) -> None:
        """Raises UserError if the probe's parts do not divide the backbone's width, or it has no such features."""
        super().__post_init__()
        about, protocol = self.backbone.about, self.protocol
        width = about.embed_dim
        part = protocol.queries if protocol.pooling == "ep" else CAPI_HEAD_WIDTH
        if width % part:
            raise UserError(f"{about.source} is {width} wide, which {part} does not divide", "set another queries")
        if protocol.point == "norm" and not about.final_norm:
            raise UserError(f"{about.source} has no final norm, so there are no features after it", "set point=raw")

    def model(self) -> nn.Module:
        """The frozen backbone with its probe."""
        about, side, protocol = self.backbone.about, self.protocol.image_size, self.protocol
        features = self.backbone.features(side)
        use_fastest_attention(features, (side // about.patch_size) ** 2)
        classes = len(self.train.classes)
        probe = (
            EfficientProbing(about.embed_dim, classes, protocol.queries)
            if protocol.pooling == "ep"
            else CapiProbe(about.embed_dim, classes)
        )
        return AttendedBackbone(features, probe, protocol.point == "norm")

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Cross-entropy, or binary cross-entropy where images have several labels."""
        images, labels = batch
        return self.entropy(model(images), labels)

    def optimizer(self, model: nn.Module, lr: float) -> torch.optim.Optimizer:
        """Efficient Probing's LARS, or CAPI's AdamW."""
        protocol = self.protocol
        if protocol.pooling == "ep":
            return lars(model, lr, protocol.weight_decay, protocol.momentum, protocol.trust_coefficient)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return adamw([{"params": trained, "weight_decay": protocol.weight_decay, "lr_scale": 1.0}], lr, protocol.betas)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Accuracy, and the number of parameters that were trained: a probe may be as large as some backbones."""
        share_statistics(model)
        trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        return {**super().evaluate(model), "head_parameters": float(trained)}


class AttendedBackbone(nn.Module):
    """Returns scores (N, classes) for images (N, 3, H, W)."""

    def __init__(self, features: Features, probe: nn.Module, norm: bool) -> None:
        super().__init__()
        self.vit = features.requires_grad_(False).body
        self.heads = nn.ModuleDict({"attentive": probe})
        self._features, self.norm = (features,), norm  # In a tuple, so that its weights have one name.

    def train(self, mode: bool = True) -> "AttendedBackbone":
        """Leaves the backbone in evaluation mode."""
        super().train(mode)
        self._features[0].eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self._features
        with torch.no_grad():
            _, tokens = features.tokens(images)
            if self.norm:
                tokens = features.final_norm(tokens)
        scores: Tensor = self.heads["attentive"](tokens)
        return scores
