"""From a recipe to what the training engine runs."""

from dataclasses import dataclass
from typing import Any, cast

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.train.config import FitExecution, Precision, TrainPlan
from transfer.classification.finetune import Finetune
from transfer.classification.linear import LinearProbe
from transfer.classification.values import LinearValues, read_values
from transfer.classification.workload import ClassificationWorkload, Loading
from transfer.datasets import LabelledImages
from transfer.task import Context


@dataclass(frozen=True)
class Job:
    """Everything that ``fit`` needs."""

    workload: ClassificationWorkload
    plan: TrainPlan
    execution: FitExecution


def make_job(backbone: Backbone, recipe: Recipe, train: LabelledImages, val: LabelledImages, context: Context) -> Job:
    """The workload of a recipe.

    Raises:
        UserError: the recipe has an unknown value or lacks one.
    """
    values = read_values(recipe.protocol)
    settings: dict[str, Any] = dict(recipe.execution)
    loading = Loading(
        workers=settings.get("workers", 0),
        evaluation_batch=settings.pop("evaluation_batch", settings.get("per_device_batch", 64)),
        keep_decoded=settings.pop("keep_decoded", False),
        bf16=context.precision == "bf16",
    )
    try:
        execution = FitExecution(**{**settings, "precision": cast(Precision, context.precision)})
    except TypeError as error:
        raise UserError(f"the execution values of recipe {recipe.name} do not fit: {error}") from error
    plan = values.plan(context.seed)
    if isinstance(values, LinearValues):
        return Job(LinearProbe(backbone, values, train, val, context.seed, loading), plan, execution)
    return Job(Finetune(backbone, values, train, val, context.seed, loading), plan, execution)
