"""Folders of Hugging Face: where they lie, their configurations and their files of weights."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import Strict, parse, parse_file
from crossmae.weights.checkpoint import CONFIG, read_config
from crossmae.weights.files import Weights, read_weights, write_weights
from crossmae.weights.options import RGB

T = TypeVar("T")

IMAGES = "preprocessor_config.json"

PROCESSOR = "processor_config.json"
"""Where transformers 5 writes the same for a model of images and text, under ``image_processor``."""

FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class ImageConfig(Strict):
    """What is read of the ``preprocessor_config.json``: the normalisation of pixels between 0 and 1, the resizing."""

    image_mean: RGB | None = None
    image_std: RGB | None = None
    do_normalize: bool | None = None
    rescale_factor: float | None = None
    resample: int | None = None
    """PIL's number: 2 is bilinear, 3 bicubic."""


def local_folder(name: str) -> Path:
    """The folder ``name``, or that of the model of this name on the Hugging Face hub, downloaded if need be.

    Raises:
        UserError: neither a folder nor reachable.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                allow_patterns=[CONFIG, IMAGES, PROCESSOR, "*.index.json", "model*.safetensors", "pytorch_model*.bin"],
            )
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"hf:{name} is no folder and cannot be had from the Hugging Face hub ({reason})") from error


def read_images(folder: Path) -> ImageConfig:
    """What a folder says of its images; nothing, if it has no such file.

    Raises:
        UserError: pixels that are not brought between 0 and 1 before they are normalised.
    """
    files = [folder / name for name in (IMAGES, PROCESSOR) if (folder / name).is_file()]
    images = read_part(files[0], ImageConfig) if files else ImageConfig()
    if images.rescale_factor is not None and not math.isclose(images.rescale_factor, 1 / 255, rel_tol=1e-3):
        raise UserError(f"{files[0]} multiplies pixels by {images.rescale_factor:g}, not by 1/255")
    return replace(images, image_mean=(0, 0, 0), image_std=(1, 1, 1)) if images.do_normalize is False else images


def read_part(path: Path, kind: type[T]) -> T:
    """The fields of the dataclass ``kind`` that stand in a JSON file, in its part for images if there is one."""
    content = parse_file(dict, path) if path.is_file() else read_config(path.parent)
    for part in ("vision_config", "image_processor"):
        if isinstance(of_images := content.get(part), dict):
            content = {**of_images, "model_type": content.get("model_type")}
    return parse(kind, {f.name: content[f.name] for f in fields(kind) if f.name in content}, str(path))  # type: ignore[arg-type]


def weights_in(folder: Path) -> Weights:
    """The weights of a folder, in one file or in the several that an index lists."""
    for name in FILES:
        if (folder / name).is_file():
            return read_weights(folder / name).weights
        if (folder / f"{name}.index.json").is_file():
            return _shards(folder, folder / f"{name}.index.json")
    raise UserError(f"{folder} has no {' or '.join(FILES)}")


def _shards(folder: Path, index: Path) -> Weights:
    content: dict[str, Any] = parse_file(dict, index)
    places = parse(dict, content.get("weight_map"), f"weight_map of {index}")
    weights: Weights = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name:
            raise UserError(f"{index} names {name!r}, which is no file of its folder")
        weights |= read_weights(folder / name).weights
    if missing := places.keys() - weights.keys():
        raise UserError(f"the files that {index} lists lack {len(missing)} weights, {min(missing)} for one")
    return weights


def write_folder(weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    write_weights(weights, folder / FILES[0], {"format": "pt"})
    write_json(config, folder / CONFIG)
