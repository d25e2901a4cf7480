"""``crossmae pretrain`` as a function."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from crossmae.data.demo.write import write_unlabelled
from crossmae.data.images import GENERATED, Images, is_generated
from crossmae.data.open import open_images
from crossmae.data.staging.cache import holds_pixels
from crossmae.errors import UserError
from crossmae.files import data_folder
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.pretraining.recipe import PretrainRecipe, read_recipe
from crossmae.pretraining.workload import Autoencoding, Pretraining
from crossmae.recipe import Recipe, load_recipe
from crossmae.run.progress import Report
from crossmae.train.config import Device, Precision
from crossmae.train.evidence import first_not_finite, read_evidence
from crossmae.train.fit import Fitted, fit
from crossmae.train.runtime.distributed import join_world
from crossmae.train.runtime.precision import matmul_precision, precision_deviation, settled
from crossmae.weights.checkpoint import save_checkpoint

log = logging.getLogger("crossmae")

RECIPES = Path(__file__).parents[1] / "recipes"
DEMO = "demo"


@dataclass(frozen=True)
class Pretrained:
    """A finished pretraining."""

    checkpoint: Path
    """Folder with ``model.safetensors`` and ``config.json``, for ``Backbone.load`` and ``load_pretrained``."""
    metrics: dict[str, float]
    """``loss``: mean over the updates of the last log line."""
    images_per_second: float | None
    """Over all processes since this start; None if nothing was left to train."""


def pretrain(
    recipe: Recipe,
    data: Path,
    folder: Path,
    seed: int,
    progress: Report,
    device: Device = "auto",
    precision: Precision | None = None,
) -> Pretrained:
    """Pretrains an autoencoder after ``recipe`` and leaves it in ``folder/checkpoint``.

    Call it on every process that torchrun started, or on one without it. Called again on the same folder, it resumes
    where it was interrupted; on a finished run it returns at once. Log lines go to the logger ``crossmae``.

    Args:
        recipe: of ``RECIPES`` (see ``load_pretraining_recipe``).
        data: image folder, list of files or folder of tar shards. If the recipe's data set is ``demo``, the images are
            generated there when it does not exist.
        folder: the run's folder; the caller holds its lock.
        progress: see ``fit``; ``Context.progress`` of a task.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``fp32`` or ``bf16`` instead of the recipe's.

    Raises:
        Stopped: a signal came; the state is saved.
        UserError: see ``fit``; also an impossible recipe and missing or unreadable data.
    """
    values = read_recipe(recipe, seed)
    checkpoint = folder / "checkpoint"
    if values.protocol.dataset == DEMO:
        write_unlabelled(data)
    folder.mkdir(parents=True, exist_ok=True)
    images = open_images(data)
    workload = Pretraining(
        values, images, recipe.protocol, folder, _crops_on_device(values.execution.augment, images, device)
    )
    execution = replace(values.execution, device=device, precision=precision or values.execution.precision)
    fitted = fit(workload, values.plan, folder, progress, execution)
    if fitted.is_main:
        precision = settled(execution.precision, next(fitted.model.parameters()).device)
        _export(fitted, checkpoint, _origin(recipe, values, seed, images, _deviations(recipe, data, images, precision)))
    return Pretrained(checkpoint, {"loss": fitted.last["loss"]}, fitted.images_per_second)


def replay(folder: Path, device: Device = "auto") -> list[str]:
    """Repeats the update that ended a pretraining as not finite.

    Returns:
        A line for each process that was the cause: its first tensor that is not finite, or that all of them are.

    Raises:
        UserError: ``folder`` holds no such update of a pretraining.
    """
    lines = []
    for evidence in read_evidence(folder):
        kept = evidence.circumstances
        recipe = Recipe(str(evidence.path), "", (), dict(kept.identity.get("protocol", {})), dict(kept.execution))
        learner = Autoencoding(read_recipe(recipe, kept.seed))
        with join_world(device) as world, matmul_precision(learner.recipe.execution.matmul_precision):
            found = first_not_finite(evidence, learner, world.device)
        where = f"update {kept.step}, {evidence.path.name}"
        lines.append(f"{where}: first not finite is {found}" if found else f"{where}: all is finite on {world.device}")
    return lines


def load_pretraining_recipe(name: str, overrides: tuple[str, ...] = ()) -> Recipe:
    """The pretraining recipe ``name`` with ``key=value`` overrides.

    Raises:
        UserError: unknown recipe or key, or values that do not go together.
    """
    recipe = load_recipe(RECIPES, name, overrides)
    read_recipe(recipe, seed=0)
    return recipe


def data_path(dataset: str) -> Path:
    """Where data set ``dataset`` lies if nobody says otherwise: ``data/NAME``, the demo's in ``data/demo/pretrain``.

    The environment variable ``CROSSMAE_DATA`` names another folder than ``data``.

    Raises:
        UserError: it does not exist and cannot be generated.
    """
    base = data_folder()
    if dataset == DEMO:
        return base / DEMO / "pretrain"
    if not (base / dataset).exists():
        raise UserError(f"no images at {base / dataset}", f"say where {dataset} lies with --data PATH")
    return base / dataset


def _export(fitted: Fitted, folder: Path, origin: dict[str, Any]) -> None:
    assert isinstance(fitted.model, MaskedAutoencoder)
    save_checkpoint(fitted.model, folder, {**origin, "steps": fitted.step})
    log.info("checkpoint written to %s", folder)


def _crops_on_device(augment: str, images: Images, device: str) -> bool:
    if augment == "device" and not holds_pixels(images):
        raise UserError("augment=device wants pixels", "make a cache of the images with crossmae stage --form raw")
    gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return augment == "device" or (augment == "auto" and gpu and holds_pixels(images))


def _deviations(recipe: Recipe, data: Path, images: Images, precision: str) -> list[str]:
    # A list of files may lie anywhere, so that an image counts, too.
    generated = [GENERATED] if is_generated(data) or is_generated(Path(images.name(0))) else []
    return [*recipe.deviations, precision_deviation(precision), *images.deviations, *generated]


def _origin(recipe: Recipe, values: PretrainRecipe, seed: int, images: Images, deviations: list[str]) -> dict[str, Any]:
    """How the weights were made, for the checkpoint's config.json."""
    return {
        "recipe": recipe.name,
        "recipe_hash": recipe.hash,
        "deviations": deviations,
        "dataset": values.protocol.dataset,
        "images": images.fingerprint,
        "epochs": values.plan.epochs,
        "lr": values.plan.lr,
        "seed": seed,
    }
