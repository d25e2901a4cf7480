"""Linear classifiers by SGD: every learning rate of a grid in one pass over the features."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from crossmae.backbone import Backbone
from transfer.datasets.labelled import LabelledImages
from transfer.frozen.cache import Views, usable_tokens
from transfer.frozen.extract import view_names
from transfer.frozen.recipe import LinearProtocol, Point, Tokens
from transfer.frozen.selection import Standardiser, accuracy, choose, hold_out, note_choice
from transfer.frozen.task import Classifier, FrozenTask, TrainingSet
from transfer.task import Context

INITIAL_STD = 0.01
"""Standard deviation of the initial weights (DINOv2's and MAE's probes)."""
_REPORTS = 20
"""Reports of a training."""
_ROWS = 65_536
"""Samples whose scores are in memory at once."""

Report = Callable[[int, int, float], None]
"""Called with (step, steps, mean loss of the heads that have not diverged)."""


class LinearTask(FrozenTask[LinearProtocol]):
    """The learning rate, and which tokens, are chosen on the held-out part of train, after the last step.

    Source: the grid and schedule of DINOv2's ``linear.py``, on features without augmentation.
    """

    protocol = LinearProtocol

    def refuse(self, backbone: Backbone, train: LabelledImages, protocol: LinearProtocol) -> None:
        """Refuses features that the backbone does not have, and classes of one image only."""
        usable_tokens(view_names(backbone), protocol.point, protocol.tokens)
        hold_out(train, protocol.held_out_per_class)

    def fit(
        self, train: TrainingSet, protocol: LinearProtocol, context: Context
    ) -> tuple[Classifier, dict[str, float]]:
        """Trains all heads without the held-out images; the chosen one is not trained again."""
        split = hold_out(train.images, protocol.held_out_per_class)
        kinds = usable_tokens(train.views.names, protocol.point, protocol.tokens)
        classifiers: list[Classifier] = []
        grid: list[dict[str, Any]] = []
        for number, tokens in enumerate(kinds):
            inputs = train.views.inputs(protocol.point, tokens).to(train.device)
            scale = Standardiser.of(inputs[split.fitted], protocol.standardise)
            inputs = scale(inputs)
            report = partial(_report, context, len(train.labels), number, len(kinds))
            labels = train.labels[split.fitted]
            heads = Heads(inputs.shape[1], train.classes, protocol, context.seed, train.device)
            heads.train(inputs[split.fitted], labels, report)
            for head, lr in enumerate(protocol.lr):
                scores = heads.scores(head, inputs[split.held_out])
                grid.append({"tokens": tokens, "lr": lr, "top1": accuracy(scores, train.labels[split.held_out])})
                classifiers.append(partial(_classify, protocol.point, tokens, scale, heads, head))
        best = choose([candidate["top1"] for candidate in grid])
        note_choice(context, split, grid, best)
        return classifiers[best], {"top1_held_out": grid[best]["top1"], "chosen_lr": grid[best]["lr"]}


def _classify(point: Point, tokens: Tokens, scale: Standardiser, heads: "Heads", head: int, views: Views) -> Tensor:
    return heads.scores(head, scale(views.inputs(point, tokens).to(heads.bias.device)))


def _report(context: Context, images: int, kind: int, kinds: int, step: int, steps: int, loss: float) -> None:
    total = images + kinds * steps
    context.progress(images + kind * steps + step, total, {"loss": loss})


class Heads:
    """A linear classifier for each learning rate, all with the same initial weights and the same batches.

    Gradients are written out: every batch costs two products of matrices for all heads together, and one that diverges
    touches no other.
    """

    def __init__(
        self, dimensions: int, classes: int, protocol: LinearProtocol, seed: int, device: torch.device
    ) -> None:
        self.protocol, self.seed = protocol, seed
        generator = torch.Generator().manual_seed(seed)
        weight = INITIAL_STD * torch.randn(dimensions, 1, classes, generator=generator)
        count = len(protocol.lr)
        self.weight = weight.expand(-1, count, -1).clone().to(device)
        """(D, heads, classes)"""
        self.bias = torch.zeros(count, classes, device=device)
        self._rates = torch.tensor(protocol.lr, device=device)[:, None]
        self._momenta = torch.zeros_like(self.weight), torch.zeros_like(self.bias)

    def scores(self, head: int, inputs: Tensor) -> Tensor:
        """Scores (N, classes) of one head."""
        return torch.cat([rows @ self.weight[:, head] + self.bias[head] for rows in inputs.split(_ROWS)])

    def train(self, inputs: Tensor, labels: Tensor, report: Report) -> None:
        """Trains all heads on ``inputs`` (N, D) and ``labels`` (N,)."""
        protocol = self.protocol
        batch = min(protocol.batch, len(labels))
        steps = max(1, int(protocol.epochs * len(labels) / batch))
        for step, places in enumerate(_batches(len(labels), batch, steps, self.seed)):
            rate = batch / 256 * 0.5 * (1 + math.cos(math.pi * step / steps))
            losses = self._update(inputs[places], labels[places], rate)
            if (step + 1) % max(1, steps // _REPORTS) == 0 or step + 1 == steps:
                report(step + 1, steps, float(losses[losses.isfinite()].mean()) if losses.isfinite().any() else 0.0)

    def _update(self, inputs: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One step of SGD with momentum; returns the heads' losses (heads,) before it."""
        count, classes = self.bias.shape
        scores = (inputs @ self.weight.flatten(1)).unflatten(1, (count, classes)) + self.bias
        log_p = scores.log_softmax(dim=2)
        right = labels[:, None, None].expand(-1, count, 1)
        losses = -log_p.gather(2, right).mean(dim=0)[:, 0]
        error = log_p.exp().scatter_add(2, right, torch.full_like(log_p[..., :1], -1.0)) / len(labels)
        gradients = (inputs.T @ error.flatten(1)).unflatten(1, (count, classes)), error.sum(dim=0)
        for values, momentum, gradient in zip((self.weight, self.bias), self._momenta, gradients, strict=True):
            if self.protocol.weight_decay:
                gradient.add_(values, alpha=self.protocol.weight_decay)
            momentum.mul_(self.protocol.momentum).add_(gradient)
            values.sub_(rate * self._rates * momentum)
        return losses


def _batches(samples: int, batch: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Places of the samples of each step: epoch after epoch, each in an order of its own, as one stream."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(left) < batch:
            left = torch.cat([left, torch.randperm(samples, generator=generator)])
        yield left[:batch]
        left = left[batch:]
