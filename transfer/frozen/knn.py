"""Nearest neighbours: a weighted vote of the training images that are most alike."""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from transfer.datasets.labelled import LabelledImages
from transfer.frozen.cache import Views
from transfer.frozen.recipe import KnnProtocol
from transfer.frozen.selection import Standardiser
from transfer.frozen.task import Classifier, FrozenTask, TrainingSet
from transfer.task import Context

_QUERIES = 128
"""Images that are compared with all training images at once."""


class KnnTask(FrozenTask[KnnProtocol]):
    """Features before the final norm, after it, or standardised: variants far apart (MAE: 10 to 51 %), a task each."""

    protocol = KnnProtocol

    def refuse(self, backbone: Backbone, train: LabelledImages, protocol: KnnProtocol) -> None:
        """Refuses features that the backbone does not have, and more neighbours than there are training images."""
        if protocol.point == "norm" and not backbone.about.final_norm:
            what = f"{backbone.about.source} has no final norm, and these neighbours are sought after it"
            raise UserError(what, "take the task whose name ends in @raw or @zscore")
        if protocol.k > len(train):
            raise UserError(f"k is {protocol.k} and there are {len(train)} training images", "set a smaller k")

    def fit(self, train: TrainingSet, protocol: KnnProtocol, context: Context) -> tuple[Classifier, dict[str, float]]:
        """Nothing is fitted and nothing chosen: ``k`` and ``temperature`` are the recipe's."""
        own = "token" if "raw token" in train.views.names else "avg"
        return partial(_classify, train, protocol, f"{protocol.point} {own}"), {}


def _classify(train: TrainingSet, protocol: KnnProtocol, view: str, views: Views) -> Tensor:
    bank = train.views.rows(view).to(train.device)
    scale = Standardiser.of(bank, protocol.standardise)
    queries = normalize(scale(views.rows(view).to(train.device)))
    return votes(queries, normalize(scale(bank)), train.labels, train.classes, protocol.k, protocol.temperature)


def votes(queries: Tensor, bank: Tensor, labels: Tensor, classes: int, k: int, temperature: float) -> Tensor:
    """The votes (N, classes) for ``queries`` (N, C) of their ``k`` nearest in ``bank`` (M, C); both of length 1.

    A neighbour of similarity s votes with exp((s - s1) / temperature) for its class, s1 being that of the nearest one.
    A class without votes has minus infinity.
    Source: DINO's ``eval_knn.py``.
    """
    assert len(bank) == len(labels), "a bank lacks images"
    parts = []
    for part in queries.split(_QUERIES):
        nearest = (part @ bank.T).topk(k, dim=1)
        weights = ((nearest.values - nearest.values[:, :1]) / temperature).exp()
        part_votes = torch.zeros(len(part), classes, dtype=part.dtype, device=part.device)
        parts.append(part_votes.scatter_add_(1, labels[nearest.indices], weights))
    everything = torch.cat(parts)
    return everything.masked_fill(everything == 0, -torch.inf)
