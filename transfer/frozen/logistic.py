"""Multinomial logistic regression by L-BFGS in double precision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from crossmae.backbone import Backbone
from transfer.datasets.labelled import LabelledImages
from transfer.frozen.cache import Views, usable_tokens
from transfer.frozen.extract import view_names
from transfer.frozen.recipe import LogisticProtocol, Point, Tokens
from transfer.frozen.selection import Standardiser, accuracy, choose, hold_out, note_choice
from transfer.frozen.task import Classifier, FrozenTask, TrainingSet
from transfer.task import Context

_ROWS = 65_536
"""Samples whose scores are in memory at once."""


@dataclass(frozen=True)
class Fit:
    """``weights`` (D + 1, classes) in double precision, the last row the intercepts, and how they were reached."""

    weights: Tensor
    iterations: int
    gradient: float
    """Greatest entry of the gradient, in absolute value."""


class LogisticTask(FrozenTask[LogisticProtocol]):
    """C, and which tokens, are chosen on the held-out part of train. Source: DINOv2's ``log_regression.py``."""

    protocol = LogisticProtocol

    def refuse(self, backbone: Backbone, train: LabelledImages, protocol: LogisticProtocol) -> None:
        """Refuses features that the backbone does not have, and classes of one image only."""
        usable_tokens(view_names(backbone), protocol.point, protocol.tokens)
        hold_out(train, protocol.held_out_per_class)

    def fit(
        self, train: TrainingSet, protocol: LogisticProtocol, context: Context
    ) -> tuple[Classifier, dict[str, float]]:
        """Fits the grid without the held-out images and, if the recipe says so, what was chosen on all."""
        split = hold_out(train.images, protocol.held_out_per_class)
        fits: list[tuple[Tokens, Standardiser, Fit]] = []
        grid: list[dict[str, Any]] = []
        for tokens in usable_tokens(train.views.names, protocol.point, protocol.tokens):
            inputs = train.views.inputs(protocol.point, tokens).to(train.device)
            scale = Standardiser.of(inputs[split.fitted], protocol.standardise)
            inputs = scale(inputs)
            labels = train.labels[split.held_out]
            for c, fit in zip(protocol.c, self._path(inputs[split.fitted], train, split.fitted, protocol), strict=True):
                fits.append((tokens, scale, fit))
                held_out = accuracy(scores(inputs[split.held_out], fit.weights), labels)
                grid.append({"tokens": tokens, "c": c, "top1": held_out, "iterations": fit.iterations})
                context.progress(len(train.labels) + len(grid), len(train.labels) + len(grid), {"held_out": held_out})
        best = choose([candidate["top1"] for candidate in grid])
        note_choice(context, split, grid, best)
        tokens, scale, fit = fits[best]
        if protocol.refit:
            inputs = train.views.inputs(protocol.point, tokens).to(train.device)
            scale = Standardiser.of(inputs, protocol.standardise)
            fit = minimise(scale(inputs), train.labels, train.classes, grid[best]["c"], protocol, fit.weights)
        if fit.gradient > protocol.tolerance:
            context.deviation(f"logistic regression had not converged after {fit.iterations} iterations")
        classify = partial(_classify, protocol.point, tokens, scale, fit.weights)
        return classify, {"top1_held_out": grid[best]["top1"], "chosen_c": grid[best]["c"]}

    @staticmethod
    def _path(inputs: Tensor, train: TrainingSet, fitted: Tensor, protocol: LogisticProtocol) -> Iterator[Fit]:
        """A fit for each C, from the smallest on, each beginning where the one before ended."""
        weights = None
        for c in protocol.c:
            fit = minimise(inputs, train.labels[fitted], train.classes, c, protocol, weights)
            weights = fit.weights
            yield fit


def _classify(point: Point, tokens: Tokens, scale: Standardiser, weights: Tensor, views: Views) -> Tensor:
    return scores(scale(views.inputs(point, tokens).to(weights.device)), weights)


def scores(inputs: Tensor, weights: Tensor) -> Tensor:
    """Scores (N, classes) in double precision of ``inputs`` (N, D)."""
    return torch.cat([part.double() @ weights[:-1] + weights[-1] for part in inputs.split(_ROWS)])


def minimise(
    inputs: Tensor, labels: Tensor, classes: int, c: float, protocol: LogisticProtocol, start: Tensor | None = None
) -> Fit:
    """Minimises c * (summed cross-entropy) + (sum of squared weights) / 2; intercepts are not penalised.

    The objective, divided by c * N, is scikit-learn's; its gradient is written out, so that only ``_ROWS`` samples'
    scores are in memory.

    Args:
        inputs: (N, D), of any precision.
        start: weights to begin with; zeros without them.
    """
    shape = (inputs.shape[1] + 1, classes)
    weights = torch.zeros(shape, dtype=torch.float64, device=inputs.device) if start is None else start.clone()
    penalty = 1 / (c * len(inputs))
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=protocol.max_iterations,
        max_eval=2 * protocol.max_iterations,
        tolerance_grad=protocol.tolerance,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    @torch.no_grad()
    def closure() -> Tensor:
        loss = penalty / 2 * weights[:-1].square().sum()
        gradient = penalty * weights
        gradient[-1] = 0
        for part, part_labels in zip(inputs.split(_ROWS), labels.split(_ROWS), strict=True):
            rows = part.double()
            log_p = (rows @ weights[:-1] + weights[-1]).log_softmax(dim=1)
            right = part_labels[:, None]
            loss = loss - log_p.gather(1, right).sum() / len(inputs)
            error = log_p.exp_().scatter_add_(1, right, -torch.ones_like(right, dtype=log_p.dtype)) / len(inputs)
            gradient[:-1] += rows.T @ error
            gradient[-1] += error.sum(dim=0)
        weights.grad = gradient
        return loss

    optimizer.step(closure)
    closure()
    assert weights.grad is not None
    return Fit(weights.detach(), optimizer.state[weights]["n_iter"], float(weights.grad.abs().max()))
