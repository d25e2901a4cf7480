"""Hugging Face folders (``config.json`` and weights), read and written without transformers."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.blocks import NORM_EPS
from crossmae.parsing import Count, Positive, Strict, parse, parse_file
from crossmae.weights.autoencoder import AutoencoderWeights
from crossmae.weights.checkpoint import CONFIG, read_config
from crossmae.weights.files import Weights, part_of, prefixed, read_weights, write_weights
from crossmae.weights.layouts.find import encoder_of, find_vit, log_left_out
from crossmae.weights.layouts.names import with_joined_qkv
from crossmae.weights.options import RGB, Activation, SourceOptions
from crossmae.weights.spec import BackboneSpec, describe, with_final_norm

T = TypeVar("T")

IMAGES = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
"""Where transformers 5 writes the same for a model of images and text, under ``image_processor``."""

FILES = ("model.safetensors", "pytorch_model.bin")
_KINDS = {
    "vit": 1e-12,
    "vit_mae": 1e-12,
    "vit_msn": 1e-6,
    "deit": 1e-12,
    "ijepa": 1e-12,
    "dinov2": 1e-6,
    "dinov2_with_registers": 1e-6,
}
"""Plain ViTs by ``model_type``, and the epsilon of their norms where the configuration is silent."""

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "quick_gelu": "quick_gelu",
}
_NAMES: dict[Activation, str] = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "quick_gelu": "quick_gelu"}
_QKV = ("query", "key", "value")

# Ours -> theirs, within a block.
_BLOCK = {
    "norm1": "layernorm_before",
    "attn.proj": "attention.output.dense",
    "norm2": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_ENCODER = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "norm.": "layernorm.",
}
_DECODER = {
    "mask_token": "mask_token",
    "pos_embed": "decoder_pos_embed",
    "embed.": "decoder_embed.",
    "norm.": "decoder_norm.",
    "pred.": "decoder_pred.",
}
_ENCODER_BLOCKS, _DECODER_BLOCKS = "encoder.layer.", "decoder_layers."
# How transformers 5 writes the decoder's blocks.
_DECODER_BLOCKS_5 = "decoder_encoder.layer."


@dataclass(frozen=True)
class _VitConfig(Strict):
    """What is read of the ``config.json`` of a plain ViT."""

    model_type: str | None = None
    num_attention_heads: Count | None = None
    hidden_act: str = "gelu"
    layer_norm_eps: Positive | None = None
    use_swiglu_ffn: bool = False
    final_norm: bool = True
    """Ours: see ``save_vit``."""
    pretraining: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageConfig(Strict):
    """What is read of the ``preprocessor_config.json``: the normalisation of pixels between 0 and 1, the resizing."""

    image_mean: RGB | None = None
    image_std: RGB | None = None
    do_normalize: bool | None = None
    rescale_factor: float | None = None
    resample: int | None = None
    """PIL's number: 2 is bilinear, 3 bicubic."""


def read_vitmae(folder: Path) -> AutoencoderWeights:
    """The whole autoencoder of a ViTMAE folder.

    Raises:
        UserError: no such folder.
    """
    config, weights = read_config(folder), weights_in(folder)
    if config.get("model_type") != "vit_mae":
        raise UserError(f"{folder} holds no ViTMAE but model_type {config.get('model_type')!r}")
    if config.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{folder}: hidden_act {config['hidden_act']!r}; autoencoders here have the exact GELU")
    encoder = encoder_to_ours(part_of(weights, "vit."))
    decoder = decoder_to_ours(part_of(weights, "decoder."))
    ours = {**prefixed(encoder, "encoder."), **prefixed(decoder, "decoder.")}
    return AutoencoderWeights(ours, _options(config))


def read_encoder(name: str, source: str, options: SourceOptions) -> tuple[Weights, BackboneSpec]:
    """The encoder of the folder of a plain ViT, or of a model of that name on the Hugging Face hub.

    Raises:
        UserError: neither, not reachable, or another kind of model.
    """
    folder = local_folder(name)
    config = read_part(folder / CONFIG, _VitConfig)
    if config.model_type not in _KINDS:
        kinds = ", ".join(_KINDS)
        raise UserError(f"{source} holds none of {kinds}, DINOv3, CLIP, SigLIP but model_type {config.model_type!r}")
    encoder = encoder_of(find_vit(weights_in(folder), source, SourceOptions()))
    log_left_out(source, encoder)
    ours = encoder.weights
    if not config.final_norm:
        ours = {n: t for n, t in ours.items() if not n.startswith("norm.")}
    pretraining = {"method": "MAE"} if config.model_type == "vit_mae" else config.pretraining
    return describe(ours, source, options.over(_said(folder, config, source)), pretraining)


def _said(folder: Path, config: _VitConfig, source: str) -> SourceOptions:
    """What a folder's configurations say that its weights do not; an epsilon that is not named has its type's value."""
    if config.use_swiglu_ffn:
        raise UserError(f"{source} has gated MLPs (SwiGLU), which no task can take", "use a ViT with plain MLPs")
    if config.hidden_act not in _ACTIVATIONS:
        raise UserError(f"{source} has an activation that no task can take ({config.hidden_act})", "give another ViT")
    images = read_images(folder)
    return SourceOptions(
        heads=config.num_attention_heads,
        act=_ACTIVATIONS[config.hidden_act],
        eps=config.layer_norm_eps or _KINDS[str(config.model_type)],
        mean=images.image_mean,
        std=images.image_std,
    )


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


def save_vitmae(model: MaskedAutoencoder, folder: Path) -> None:
    """Writes an MAE as a folder for ``transformers.ViTMAEForPreTraining.from_pretrained``.

    Raises:
        UserError: the model is no plain MAE, which is all that ViTMAE can hold.
    """
    config = model.config
    if config.decoder != "self" or config.mixed_blocks or config.prediction_ratio != config.mask_ratio:
        raise UserError("Hugging Face ViTMAE holds plain MAE only", "export the encoder with format hf-vit")
    encoder = encoder_from_ours(model.encoder.state_dict())
    decoder = decoder_from_ours(model.decoder.state_dict())
    content = _dimensions(config.embed_dim, config.depth, config.num_heads, config.patch_size, config.image_size) | {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "decoder_hidden_size": config.decoder_embed_dim,
        "decoder_num_hidden_layers": config.decoder_depth,
        "decoder_num_attention_heads": config.decoder_num_heads,
        "decoder_intermediate_size": 4 * config.decoder_embed_dim,
        "mask_ratio": config.mask_ratio,
        "norm_pix_loss": config.norm_pix_loss,
    }
    _write({**prefixed(encoder, "vit."), **prefixed(decoder, "decoder.")}, content, folder)


def save_vit(weights: Mapping[str, Tensor], spec: BackboneSpec, folder: Path) -> None:
    """Writes an encoder as a folder for ``transformers.ViTModel.from_pretrained``.

    transformers always applies a final norm. For a backbone without one, an initial norm is written and ``final_norm``
    in ``config.json`` is false: the pretrained features are ``hidden_states[-1]``, and ``Backbone.load`` drops it.

    Raises:
        UserError: layer scale, registers or no class token, which ViT lacks.
    """
    if spec.layer_scale or spec.num_registers or not spec.class_token:
        raise UserError("Hugging Face ViT has a class token, no registers and no layer scale; this backbone differs")
    content = _dimensions(spec.embed_dim, spec.depth, spec.num_heads, spec.patch_size, spec.image_size) | {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "intermediate_size": round(spec.embed_dim * spec.mlp_ratio),
        "final_norm": spec.final_norm,
        "pretraining": spec.pretraining,
    }
    content |= {"hidden_act": _NAMES[spec.activation], "layer_norm_eps": spec.norm_eps}
    _write(encoder_from_ours(with_final_norm(weights, spec)), content, folder)
    write_json(_images(spec), folder / IMAGES)


def encoder_to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """timm names for the weights of a ``ViTModel`` (names without ``vit.``)."""
    return _to_ours(weights, _ENCODER, _ENCODER_BLOCKS)


def decoder_to_ours(weights: Mapping[str, Tensor]) -> Weights:
    """Our decoder's names for those of a ``ViTMAEDecoder`` (names without ``decoder.``)."""
    renamed = {name.replace(_DECODER_BLOCKS_5, _DECODER_BLOCKS): tensor for name, tensor in weights.items()}
    return _to_ours(renamed, _DECODER, _DECODER_BLOCKS)


def encoder_from_ours(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of ``encoder_to_ours``."""
    return _from_ours(weights, _ENCODER, _ENCODER_BLOCKS)


def decoder_from_ours(weights: Mapping[str, Tensor]) -> Weights:
    """The inverse of ``decoder_to_ours``."""
    return _from_ours(weights, _DECODER, _DECODER_BLOCKS)


def _dimensions(dim: int, depth: int, heads: int, patch_size: int, image_size: int) -> dict[str, Any]:
    return {
        "hidden_size": dim,
        "intermediate_size": 4 * dim,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "patch_size": patch_size,
        "image_size": image_size,
        "num_channels": 3,
        "qkv_bias": True,
        "hidden_act": "gelu",
        "layer_norm_eps": NORM_EPS,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "dtype": "float32",
    }


def _images(spec: BackboneSpec) -> dict[str, Any]:
    side = {"height": spec.image_size, "width": spec.image_size}
    values = {"do_resize": True, "size": side, "do_rescale": True, "do_normalize": True}
    return {"image_processor_type": "ViTImageProcessor", "image_mean": spec.mean, "image_std": spec.std, **values}


def _write(weights: Mapping[str, Tensor], config: Mapping[str, Any], folder: Path) -> None:
    write_weights(weights, folder / FILES[0], {"format": "pt"})
    write_json(config, folder / CONFIG)


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


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Options named as in MAEConfig from a ViTMAE ``config.json``."""
    names = {
        "image_size": "image_size",
        "num_attention_heads": "num_heads",
        "decoder_num_attention_heads": "decoder_num_heads",
        "mask_ratio": "mask_ratio",
        "norm_pix_loss": "norm_pix_loss",
    }
    return {ours: config[theirs] for theirs, ours in names.items() if theirs in config}


def _to_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    block = re.compile(re.escape(blocks) + r"(\d+)\.(.+)")
    inside, outside = ({theirs: ours for ours, theirs in names.items()} for names in (_BLOCK, table))
    renamed: Weights = {}
    for name, tensor in weights.items():
        match = block.fullmatch(name)
        renamed[f"blocks.{match[1]}.{_renamed(match[2], inside)}" if match else _renamed(name, outside)] = tensor
    queries = {name.replace("attention.attention.", "attn."): tensor for name, tensor in renamed.items()}
    return with_joined_qkv(queries)


def _from_ours(weights: Mapping[str, Tensor], table: Mapping[str, str], blocks: str) -> Weights:
    renamed: Weights = {}
    for name, tensor in weights.items():
        match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if not match:
            renamed[_renamed(name, table)] = tensor
        elif match[2].startswith("attn.qkv."):
            kind = match[2].removeprefix("attn.qkv.")
            for part, third in zip(_QKV, tensor.chunk(3), strict=True):
                renamed[f"{blocks}{match[1]}.attention.attention.{part}.{kind}"] = third
        else:
            renamed[f"{blocks}{match[1]}.{_renamed(match[2], _BLOCK)}"] = tensor
    return renamed


def _renamed(name: str, table: Mapping[str, str]) -> str:
    for prefix, other in table.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name
