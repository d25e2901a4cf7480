"""The values of a frozen probe's recipe, in types."""

from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from annotated_types import MinLen

from crossmae.errors import UserError
from crossmae.parsing import Count, CountOrZero, NotEmpty, NotNegative, Positive, Strict
from crossmae.recipe import Recipe, TypedRecipe, read_sections
from crossmae.train.config import Device, Precision
from transfer.classification.recipe import BelowOne, PositiveShare

Point = Literal["raw", "norm"]
"""Where features are taken: after the last block, or after the final norm that follows it."""
Tokens = Literal["token", "avg", "concat"]
"""Class token, mean of the patch tokens, or both one after the other."""
Grid = Annotated[tuple[Positive, ...], MinLen(1)]


@dataclass(frozen=True, kw_only=True)
class FrozenProtocol(Strict):
    """What all frozen probes have in common."""

    image_size: Count = 224
    """Side of the images in pixels: a multiple of the backbone's patch size."""
    crop_pct: PositiveShare = 0.875
    """Share of the resized image that the central crop takes, in training and validation alike."""
    dtype: Literal["fp16", "fp32"] = "fp32"
    """In which the features are kept."""
    train_list: NotEmpty | None = None
    """File below the data with the names of the training images to use, one a line, such as ``1percent.txt``."""
    train_list_sha256: str = ""
    """With which hex digits the file's digest begins, where it is a published one."""
    per_class: Count | None = None
    """Training images of each class to use, or all of a smaller class; other seeds have others."""


@dataclass(frozen=True, kw_only=True)
class KnnProtocol(FrozenProtocol):
    """Weighted vote of the nearest training images by cosine similarity. Source: DINO's ``eval_knn.py``."""

    point: Point = "raw"
    standardise: bool = False
    """Give every dimension mean 0 and variance 1 over the training images, as MAE-CT does."""
    k: Count = 20
    temperature: Positive = 0.07


@dataclass(frozen=True, kw_only=True)
class SelectingProtocol(FrozenProtocol):
    """A probe with a grid, chosen from on a held-out part of the training images."""

    point: Point = "raw"
    tokens: Annotated[tuple[Tokens, ...], MinLen(1)] = ("token",)
    """The grid of inputs; of a backbone without class token, ``avg`` is what remains."""
    standardise: bool = True
    """Give every input dimension mean 0 and variance 1 over the images that are fitted."""
    held_out_per_class: Count = 10
    """Training images of each class that are held out, but no more than half of them."""


@dataclass(frozen=True, kw_only=True)
class LogisticProtocol(SelectingProtocol):
    """Multinomial logistic regression: minimises C times the summed cross-entropy plus half the squared weights."""

    c: Grid
    """The grid of C, rising."""
    max_iterations: Count = 1000
    tolerance: Positive = 1e-6
    """Greatest entry of the gradient of the mean cross-entropy with its penalty, at which a fit has converged."""
    refit: bool = True
    """Fit the chosen C again on all training images, the held-out ones too."""


@dataclass(frozen=True, kw_only=True)
class LinearProtocol(SelectingProtocol):
    """Linear classifiers by SGD with a half-cosine schedule; all of the grid in one pass over the features."""

    lr: Grid
    """The grid of learning rates, for a batch of 256."""
    epochs: Positive
    batch: Count = 1024
    momentum: BelowOne = 0.9
    weight_decay: NotNegative = 0.0


@dataclass(frozen=True)
class FrozenExecution(Strict):
    """The ``execution`` section of a frozen probe's recipe."""

    per_device_batch: Count = 64
    """Images that one process looks at together."""
    chunk: Count = 4096
    """Images between two points from which an interrupted extraction resumes."""
    workers: CountOrZero = 0
    device: Device = "auto"
    precision: Precision = "auto"
    cache: str | None = None
    """Folder of the kept features; None: ``features`` in the folder of all runs."""


P = TypeVar("P", bound=FrozenProtocol)


def read_recipe(kind: type[P], recipe: Recipe) -> TypedRecipe[P, FrozenExecution]:
    """Reads both sections, the protocol as a ``kind``.

    Raises:
        UserError: an unknown, missing or wrong value, named in one line.
    """
    values = read_sections(recipe, kind, FrozenExecution)
    if isinstance(values.protocol, LogisticProtocol) and list(values.protocol.c) != sorted(set(values.protocol.c)):
        raise UserError(f"c of recipe {recipe.name} does not rise", "sort it")
    return values
