"""The door for backbones: plain vision transformers by their weights, every other model as its code makes it."""

import math
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from crossmae.errors import UserError, one_line
from crossmae.files import write_json
from crossmae.parsing import Strict, parse
from crossmae.weights.checkpoint import CONFIG, WEIGHTS, read_config
from crossmae.weights.files import Weights, part_of, read_weights, write_weights
from crossmae.weights.fit import misfit
from crossmae.weights.huggingface.folder import FILES, local_folder, read_part
from crossmae.weights.layouts.distributed import read_anything
from crossmae.weights.layouts.find import FoundViT, find_vit, log_left_out, taken_from, weight_sets
from crossmae.weights.layouts.names import LEFT_OUT, Layout
from crossmae.weights.options import PAGE, WRAPPED, SourceOptions, split_source, with_option
from crossmae.weights.sources import naming, read_source
from crossmae.weights.spec import BackboneSpec
from crossmae.weights.timm import has_plain_weights, pretrained_weights
from crossmae.wrapped.build import create, sketch
from crossmae.wrapped.describe import describe_model
from crossmae.wrapped.huggingface import read_wrapped_folder
from crossmae.wrapped.own_code import ask_for, called, is_own
from crossmae.wrapped.spec import WrappedSpec


@dataclass(frozen=True)
class _Config(Strict):
    """The ``config.json`` next to a wrapped backbone's weights."""

    format: str
    backbone: WrappedSpec


_PLAIN_ONLY = ("heads", "act", "eps")
"""What the code of a model says, and nothing else."""


def open_source(source: str, seed: int, num_heads: int | None = None) -> tuple[Weights, BackboneSpec | WrappedSpec]:
    """Weights and what they are; see ``Backbone.load``."""
    place, options = split_source(source)
    if is_own(place):
        with naming(place):
            return _read_own(place, source, options, seed)
    name, _, file = place.removeprefix("timm:").partition("@")
    if place.startswith("timm:") and timm.is_model(name) and not has_plain_weights(name):
        with naming(place):
            _refuse_plain_only(options, source)
            return _read_timm(name, file, source, options)
    if place.startswith("hf:"):
        with naming(place):
            if written := _written_by_timm(place, options):
                weights, about = open_source(written, seed, num_heads)
                return weights, replace(about, source=source)
            if read := read_wrapped_folder(place.removeprefix("hf:"), source, options):
                return read
    folder = Path(place)
    if (folder / CONFIG).is_file() and read_config(folder).get("format") == WRAPPED:
        with naming(place):
            spec = parse(_Config, read_config(folder), str(folder / CONFIG)).backbone
            return read_weights(folder / WEIGHTS).weights, replace(
                spec, mean=options.mean or spec.mean, std=options.std or spec.std
            )
    return read_source(source, seed, num_heads)


def save_wrapped(weights: Mapping[str, Tensor], spec: WrappedSpec, folder: Path) -> None:
    """Writes weights and then the specification; each file is complete or not there."""
    write_weights(weights, folder / WEIGHTS)
    write_json({"format": WRAPPED, "backbone": asdict(spec)}, folder / CONFIG)


@dataclass(frozen=True)
class _TimmConfig(Strict):
    """What is read of the ``config.json`` of a folder that timm wrote for the Hugging Face hub."""

    architecture: str | None = None
    global_pool: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    pretrained_cfg: dict[str, Any] = field(default_factory=dict)


_NO_MATTER = {"num_classes", "global_pool", "img_size"}
"""Arguments of a model's constructor that only heads and positions depend on."""


def _written_by_timm(place: str, options: SourceOptions) -> str | None:
    """``timm:NAME@FILE`` with options for a folder that timm wrote; None for other folders.

    Raises:
        UserError: timm's name does not say how its model was built.
    """
    folder = local_folder(place.removeprefix("hf:"))
    config = read_part(folder / CONFIG, _TimmConfig)
    if config.architecture is None:
        return None
    arguments = {name: value for name, value in config.model_args.items() if name not in _NO_MATTER}
    if arguments.pop("in_chans", 3) != 3 or arguments:
        raise UserError(f"{place}: timm's {config.architecture} was built with {config.model_args}")
    size, images = config.model_args.get("img_size"), config.pretrained_cfg
    said = {"mean": images.get("mean"), "std": images.get("std")}
    wrapped = timm.is_model(config.architecture) and not has_plain_weights(config.architecture)
    if wrapped:
        pool = getattr(sketch(config.architecture, {}), "global_pool", None)
        if pool is not None and config.global_pool not in (None, "", pool):
            raise UserError(f"{place} pools by {config.global_pool}, timm's {config.architecture} by {pool}")
        said["image_size"] = size[0] if isinstance(size, list) and size else size
    told = options.over(parse(SourceOptions, said, f"{folder / CONFIG}:")).given()
    listed = {name: ",".join(map(str, value)) if isinstance(value, tuple) else value for name, value in told.items()}
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not files:
        raise UserError(f"{folder} has no {' or '.join(FILES)}")
    return f"timm:{config.architecture}@{files[0]}?{'&'.join(f'{name}={value}' for name, value in listed.items())}"


def _read_timm(name: str, file: str, source: str, options: SourceOptions) -> tuple[Weights, WrappedSpec]:
    built = {"img_size": options.image_size} if options.image_size else {}
    spec = describe_model(name, built, source, options)
    if not file:
        return pretrained_weights(name, **built), spec
    weights, origin = _weights_of(read_anything(Path(file)), sketch(name, built), name, source, options)
    return weights, replace(spec, pretraining={**spec.pretraining, "file": origin})


def _read_own(place: str, source: str, options: SourceOptions, seed: int) -> tuple[Weights, WrappedSpec]:
    """The model of the user's own function, with the weights that it comes with or those of a file."""
    model, _, file = place.partition("@")
    _refuse_plain_only(options, source)
    ask_for(model)
    spec = describe_model(model, {}, source, options)
    if not file:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return dict(create(model, {}).state_dict()), spec
    weights, origin = _weights_of(read_anything(Path(file)), sketch(model, {}), model, source, options)
    return weights, replace(spec, pretraining={**spec.pretraining, "file": origin})


def _refuse_plain_only(options: SourceOptions, source: str) -> None:
    if unfit := [option for option in options.given() if option in _PLAIN_ONLY]:
        raise UserError(f"{source}: the model's own code says its {', '.join(unfit)}", "leave it out")


def _weights_of(
    content: Mapping[str, Any], trunk: Any, name: str, source: str, options: SourceOptions
) -> tuple[Weights, dict[str, Any]]:
    """The weights of ``trunk`` in a file, under timm's names or others that timm converts, and where they lay."""
    places = trunk.state_dict()
    found = _find(content, _layout(name, places), source, options)
    weights = part_of(found.weights, found.prefix)
    _refuse_other_sizes(weights, places, source)
    if places.keys() - weights.keys():
        weights = _converted(weights, trunk, name, source)
    left_out = [name for name in weights if name not in places and LEFT_OUT.match(name)]
    encoder = taken_from(found, {name: t for name, t in weights.items() if name not in left_out}, left_out)
    if complaint := misfit(places, encoder.weights):
        raise UserError(f"{source} does not fit {called(name)}: {complaint}", f"see {PAGE}")
    log_left_out(source, encoder)
    return encoder.weights, encoder.origin


def _layout(name: str, places: Mapping[str, Tensor]) -> Layout:
    """timm's own names, known by the kernel of the embedding and the first weight of the last block."""
    kernel = next(place for place, tensor in places.items() if tensor.ndim > 1 and place.endswith(".weight"))
    last = [
        place for place, tensor in places.items() if tensor.ndim > 1 and re.match(r"(blocks|stages|layers)\.", place)
    ]
    return Layout(called(name), kernel, re.escape(last[-1] if last else kernel), ())


def _find(content: Mapping[str, Any], layout: Layout, source: str, options: SourceOptions) -> FoundViT:
    try:
        return find_vit(content, source, options, (layout,))
    except UserError:
        # Names of the model's first code, which timm converts: they must be the only ones.
        sets = list(weight_sets(content, options.key))
        if len(sets) != 1:
            raise
        return FoundViT(sets[0][0], options.prefix or "", replace(layout, name=f"{layout.name}, converted"), sets[0][1])


def _refuse_other_sizes(weights: Mapping[str, Tensor], places: Mapping[str, Tensor], source: str) -> None:
    """timm would resize positions without a word."""
    given, place = weights.get("pos_embed"), places.get("pos_embed")
    if given is not None and place is not None and given.shape[1:-1] != place.shape[1:-1]:
        counts = " for ".join(str(math.prod(tensor.shape[1:-1])) for tensor in (given, place))
        raise UserError(
            f"{source} has positions for images of another size ({counts})",
            f"write {with_option(source, 'image_size=SIDE')} with the side in pixels that they were made for",
        )


def _converted(weights: Weights, trunk: Any, name: str, source: str) -> Weights:
    """timm's names for those of the code that first had the model, by timm's own conversion."""
    convert = getattr(sys.modules[type(trunk).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return weights
    try:
        with redirect_stdout(StringIO()):
            converted: Weights = dict(convert(dict(weights), trunk))
    except Exception as error:  # other names than it expects fail in several ways
        raise UserError(
            f"{source}: timm cannot read these names as {name}'s ({type(error).__name__}: {one_line(error, 80)})",
            f"see {PAGE}",
        ) from error
    biases = [n for n, tensor in weights.items() if n.endswith("qkv.bias") and bool(tensor.any())]
    if biases and not any(n.endswith(("qkv.bias", "q_bias")) for n in converted):
        raise UserError(f"{source} has biases of queries, keys and values, {name} has none", "take the model with them")
    return converted
