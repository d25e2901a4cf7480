"""The probes equal straightforward references on the same features."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from transfer.frozen.knn import votes
from transfer.frozen.linear import Heads
from transfer.frozen.logistic import minimise, scores
from transfer.frozen.recipe import LinearProtocol, LogisticProtocol

CLASSES = 5
LOGISTIC = LogisticProtocol(c=(1.0,), tolerance=1e-7, max_iterations=5000)
LINEAR = LinearProtocol(lr=(0.01, 0.1, 0.5), epochs=3.0, batch=32, weight_decay=0.01)


def features(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Overlapping clouds (N, 12), one per class, and labels."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(CLASSES, 12, generator=torch.Generator().manual_seed(99))
    labels = torch.randint(CLASSES, (count,), generator=generator)
    return centres[labels] + 1.5 * torch.randn(count, 12, generator=generator), labels


def vote_by_hand(query: NDArray[np.float64], bank: NDArray[np.float64], labels: list[int], k: int) -> dict[int, float]:
    """The definition, neighbour by neighbour."""
    similarities = [float(query @ row) for row in bank]
    nearest = sorted(range(len(bank)), key=lambda index: -similarities[index])[:k]
    counted: dict[int, float] = {}
    for index in nearest:
        weight = np.exp((similarities[index] - similarities[nearest[0]]) / 0.07)
        counted[labels[index]] = counted.get(labels[index], 0.0) + float(weight)
    return counted


def test_votes_of_nearest_neighbours_are_those_of_the_definition() -> None:
    (bank, labels), (queries, _) = features(301, 0), features(57, 1)
    bank, queries = (nn.functional.normalize(part.double()) for part in (bank, queries))
    counted = votes(queries, bank, labels, CLASSES, 7, 0.07)
    for row, query in zip(counted, queries, strict=True):
        by_hand = vote_by_hand(query.numpy(), bank.numpy(), labels.tolist(), 7)
        assert int(row.argmax()) == max(by_hand, key=by_hand.__getitem__)
        assert {c: float(v) for c, v in enumerate(row) if v > -torch.inf} == pytest.approx(by_hand, rel=1e-12)


def objective(
    flat: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.int64], c: float
) -> tuple[float, NDArray[np.float64]]:
    """scikit-learn's, divided by C * N, and its gradient."""
    weights = flat.reshape(-1, CLASSES)
    logits = x @ weights[:-1] + weights[-1]
    error = scipy.special.softmax(logits, axis=1)
    losses = -np.log(error[np.arange(len(y)), y])
    error[np.arange(len(y)), y] -= 1
    gradient = np.vstack([x.T @ error + weights[:-1] / c, error.sum(axis=0)]) / len(y)
    return float(losses.mean() + (weights[:-1] ** 2).sum() / (2 * c * len(y))), gradient.ravel()


@pytest.mark.parametrize("c", [1e-3, 1.0])
def test_logistic_regression_finds_the_minimum_that_scipy_finds(c: float) -> None:
    (x, y), (others, _) = features(200, 0), features(501, 1)
    fit = minimise(x, y, CLASSES, c, LOGISTIC)
    arguments = (x.double().numpy(), y.numpy(), c)
    reference = scipy.optimize.minimize(
        objective,
        np.zeros(13 * CLASSES),
        arguments,
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": 10**5, "gtol": 1e-9, "ftol": 1e-15},
    )
    assert fit.gradient <= LOGISTIC.tolerance
    assert objective(fit.weights.numpy().ravel(), *arguments)[0] <= reference.fun + 1e-9
    theirs = scores(others, torch.from_numpy(reference.x.reshape(-1, CLASSES)))
    assert torch.equal(scores(others, fit.weights).argmax(1), theirs.argmax(1))


def test_a_start_elsewhere_ends_at_the_same_minimum() -> None:
    x, y = features(200, 0)
    cold = minimise(x, y, CLASSES, 1.0, LOGISTIC)
    warm = minimise(x, y, CLASSES, 1.0, LOGISTIC, minimise(x, y, CLASSES, 1e-3, LOGISTIC).weights)
    torch.testing.assert_close(warm.weights[:-1], cold.weights[:-1], atol=1e-4, rtol=1e-4)


def train_alone(lr: float, x: Tensor, y: Tensor) -> nn.Linear:
    """torch's own layer, loss, schedule and SGD, on the batches that the seed gives."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(4)
    layer = nn.Linear(12, CLASSES)
    with torch.no_grad():
        layer.weight.copy_(0.01 * torch.randn(12, 1, CLASSES, generator=torch.Generator().manual_seed(4))[:, 0].T)
        layer.bias.zero_()
    optimizer = torch.optim.SGD(layer.parameters(), lr * 32 / 256, momentum=0.9, weight_decay=0.01)
    steps = 3 * len(x) // 32
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    stream = torch.cat([torch.randperm(len(x), generator=generator) for _ in range(4)])
    for places in stream.split(32)[:steps]:
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(x[places]), y[places]).backward()
        optimizer.step()
        schedule.step()
    return layer


def trained(protocol: LinearProtocol, x: Tensor, y: Tensor) -> Heads:
    heads = Heads(12, CLASSES, protocol, seed=4, device=torch.device("cpu"))
    heads.train(x, y, lambda step, steps, loss: None)
    return heads


@pytest.mark.parametrize("head", range(3))
def test_every_head_is_the_one_that_torch_trains_alone(head: int) -> None:
    x, y = features(201, 0)
    alone = train_alone(LINEAR.lr[head], x, y)
    torch.testing.assert_close(trained(LINEAR, x, y).scores(head, x), alone(x).detach(), atol=1e-5, rtol=1e-5)


def test_a_head_that_diverges_leaves_the_others_as_they_are() -> None:
    x, y = features(201, 0)
    heads = trained(replace(LINEAR, lr=(*LINEAR.lr, 1e30)), x, y)
    assert not heads.scores(3, x).isfinite().all()
    for head in range(3):
        torch.testing.assert_close(heads.scores(head, x), trained(LINEAR, x, y).scores(head, x))
