"""Where weights can come from: the doors for backbones and for whole autoencoders."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.model.presets import preset_config
from crossmae.parsing import parse_json
from crossmae.weights.autoencoder import AutoencoderWeights, autoencoder_in, build_autoencoder, infer_config
from crossmae.weights.checkpoint import (
    AUTOENCODER,
    BACKBONE,
    CONFIG,
    load_checkpoint,
    read_backbone,
    read_checkpoint,
    read_config,
)
from crossmae.weights.describe import MAES, describe
from crossmae.weights.files import OPTIONS, WeightFile, Weights, arguments_in, part_of, read_content, read_weights
from crossmae.weights.layouts.distributed import is_distributed, read_anything
from crossmae.weights.layouts.find import encoder_of, find_vit, log_left_out
from crossmae.weights.options import SourceOptions, split_source
from crossmae.weights.spec import BackboneSpec, require_described, stated

SPEC = "crossmae_backbone"
"""Under this key a file with timm's names carries its BackboneSpec."""


def read_source(source: str, seed: int, num_heads: int | None = None) -> tuple[Weights, BackboneSpec]:
    """Weights under timm's names and their specification; see ``Backbone.load``."""
    place, options = split_source(source)
    if num_heads is not None:
        options = SourceOptions(heads=num_heads).over(options)
    with naming(place):
        return stated(*_read(place, source, options, seed), options)


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Every refusal names the source and says what to do."""
    try:
        yield
    except UserError as error:
        what = error.what if place in error.what else f"{place}: {error.what}"
        raise UserError(what, error.remedy or "see whether it is the file that you meant") from error


def _read(place: str, source: str, options: SourceOptions, seed: int) -> tuple[Weights, BackboneSpec]:
    kind, colon, name = place.partition(":")
    path = Path(place)
    if colon and kind == "timm":
        from crossmae.weights.timm import read_timm

        return read_timm(name, source, options)
    if path.is_file() or is_distributed(path):
        return _file(path, source, options)
    if options.key or options.prefix is not None:
        raise UserError(f"{source} is no weight file", "leave out key and prefix, which say what to take from one")
    if colon and kind == "random":
        return _random(name, source, seed)
    if colon and kind == "hf":
        from crossmae.weights.huggingface.vit import read_encoder

        return read_encoder(name, source, options)
    if path.is_dir():
        return _folder(path, source)
    raise UserError(
        f"no backbone {source!r}",
        "give a checkpoint folder, a weight file, timm:NAME, hf:FOLDER, python:MODULE:FUNCTION or random:PRESET",
    )


def load_pretrained(
    source: str | Path, /, num_heads: int | None = None, decoder_num_heads: int | None = None, **overrides: Any
) -> MaskedAutoencoder:
    """The whole autoencoder of ``source``, in evaluation mode.

    Args:
        source: folder of ours (``RUN/checkpoint``), a released CrossMAE or MAE ``.pth``, a ``.safetensors`` with the
            released names (also under ``weights/``), or a Hugging Face ViTMAE folder or ``hf:FOLDER_OR_NAME``.
        overrides: options named as in MAEConfig that the weights cannot tell and the file does not say. None means
            not given.

    Raises:
        UserError: no such source, an option that must be given, or weights that do not fit: each in one line.
    """
    options = {"num_heads": num_heads, "decoder_num_heads": decoder_num_heads, **overrides}
    given = {name: value for name, value in options.items() if value is not None}
    place, said = split_source(str(source))
    if unfit := said.given().keys() - {"key", "prefix", "heads"}:
        raise UserError(f"{source}: an autoencoder takes no {', '.join(sorted(unfit))}", "leave them out")
    if said.heads is not None:
        given = {"num_heads": said.heads, **given}
    with naming(place):
        path = _local(place)
        if path.is_dir() and read_config(path).get("format"):
            model = load_checkpoint(path)
            _refuse_contradictions(model, given)
            return model.eval()
        theirs = _autoencoder(path, str(source), said)
        config = infer_config(theirs.weights, {**theirs.options, **given})
        return build_autoencoder(config, theirs.weights, str(source)).eval()


def _random(preset: str, source: str, seed: int) -> tuple[Weights, BackboneSpec]:
    # MAE's encoder: unlike CrossMAE's it has a final norm, so that nothing is missing.
    config = preset_config(preset, decoder="self", decoder_depth=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MaskedAutoencoder(config)
    said = SourceOptions(heads=config.num_heads).over(MAES)
    return describe(part_of(model.state_dict(), "encoder."), source, said, {"method": "none", "seed": seed})


def _folder(folder: Path, source: str) -> tuple[Weights, BackboneSpec]:
    form = read_config(folder).get("format")
    if form == BACKBONE:
        return read_backbone(folder)
    if form == AUTOENCODER:
        checkpoint = read_checkpoint(folder)
        pretraining = {**_method(checkpoint.config), **checkpoint.pretraining}
        said = SourceOptions(heads=checkpoint.config.num_heads).over(MAES)
        return describe(part_of(checkpoint.weights, "encoder."), source, said, pretraining)
    raise UserError(f"{folder} is no checkpoint of ours", f"a Hugging Face folder is given as hf:{folder}")


def _file(path: Path, source: str, options: SourceOptions) -> tuple[Weights, BackboneSpec]:
    content = read_anything(path)
    if isinstance(content.get(SPEC), str):
        spec = parse_json(BackboneSpec, content[SPEC], f"{SPEC} in {path}")
        weights = {name: value for name, value in content.items() if isinstance(value, Tensor)}
        weights = {name: tensor for name, tensor in weights.items() if name not in spec.missing}
        require_described(weights, spec, str(path))
        return weights, spec
    vit = find_vit(content, source, options)
    encoder = encoder_of(vit)
    pretraining, said = _pretraining(WeightFile(part_of(vit.weights, vit.prefix), arguments_in(content)))
    log_left_out(source, encoder)
    return describe(encoder.weights, source, options.over(said), {**pretraining, "file": encoder.origin})


def _pretraining(file: WeightFile) -> tuple[dict[str, Any], SourceOptions]:
    """How a file's weights were made and what that says about the model: nothing, if they are no autoencoder's."""
    whole = autoencoder_in(file)
    if not whole.options and not any(name.startswith("decoder.blocks.") for name in whole.weights):
        return {}, SourceOptions()
    cross = {"decoder.mixing.weight", "decoder.blocks.0.cross_attn.q.weight"} & whole.weights.keys()
    # Others' files of an MAE called mae_vit_small_patch16 have 6 heads or 12.
    ours = cross or "cross_mae" in file.arguments or OPTIONS in file.arguments
    heads = whole.options.get("num_heads") if ours else None
    method = "CrossMAE" if cross or file.arguments.get("cross_mae") else "MAE"
    return {"method": method, **whole.options}, SourceOptions(heads=heads).over(MAES)


def _method(config: MAEConfig) -> dict[str, object]:
    """How an autoencoder of this configuration is pretrained, for the records."""
    return {
        "method": "MAE" if config.decoder == "self" else "CrossMAE",
        "mask_ratio": config.mask_ratio,
        "prediction_ratio": config.prediction_ratio,
    }


def _local(source: str) -> Path:
    if not source.startswith("hf:"):
        return Path(source)
    from crossmae.weights.huggingface.folder import local_folder

    return local_folder(source.removeprefix("hf:"))


def _autoencoder(path: Path, source: str, options: SourceOptions) -> AutoencoderWeights:
    if path.is_dir():
        from crossmae.weights.huggingface.vitmae import read_vitmae

        return read_vitmae(path)
    if not options.key and options.prefix is None:
        return autoencoder_in(read_weights(path))
    content = read_content(path)
    vit = find_vit(content, source, options)
    return autoencoder_in(WeightFile(part_of(vit.weights, vit.prefix), arguments_in(content)))


def _refuse_contradictions(model: MaskedAutoencoder, given: dict[str, Any]) -> None:
    config = model.config.to_dict()
    for name, value in given.items():
        if name not in config:
            raise UserError(f"unknown model option {name}", f"the options are {', '.join(sorted(config))}")
        if config[name] != (list(value) if isinstance(value, tuple) else value):
            raise UserError(f"{name}={value!r} contradicts the checkpoint's {CONFIG}, which says {config[name]!r}")
