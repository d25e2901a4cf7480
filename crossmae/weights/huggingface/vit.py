"""Plain ViTs in folders of Hugging Face, read and written without transformers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.model.blocks import NORM_EPS
from crossmae.parsing import Count, Positive, Strict
from crossmae.weights.checkpoint import CONFIG
from crossmae.weights.describe import describe
from crossmae.weights.files import Weights
from crossmae.weights.huggingface.folder import IMAGES, local_folder, read_images, read_part, weights_in, write_folder
from crossmae.weights.huggingface.names import encoder_from_ours
from crossmae.weights.layouts.find import encoder_of, find_vit, log_left_out
from crossmae.weights.options import OTHERWISE, Activation, SourceOptions
from crossmae.weights.spec import BackboneSpec, with_final_norm

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
        raise UserError(f"{source} has gated MLPs (SwiGLU), so it is no plain vision transformer", OTHERWISE)
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


def save_vit(weights: Mapping[str, Tensor], spec: BackboneSpec, folder: Path) -> None:
    """Writes an encoder as a folder for ``transformers.ViTModel.from_pretrained``.

    transformers always applies a final norm. For a backbone without one, an initial norm is written and ``final_norm``
    in ``config.json`` is false: the pretrained features are ``hidden_states[-1]``, and ``Backbone.load`` drops it.

    Raises:
        UserError: layer scale, registers or no class token, which ViT lacks.
    """
    if spec.layer_scale or spec.num_registers or not spec.class_token:
        raise UserError("Hugging Face ViT has a class token, no registers and no layer scale; this backbone differs")
    content = dimensions(spec.embed_dim, spec.depth, spec.num_heads, spec.patch_size, spec.image_size) | {
        "architectures": ["ViTModel"],
        "model_type": "vit",
        "intermediate_size": round(spec.embed_dim * spec.mlp_ratio),
        "final_norm": spec.final_norm,
        "pretraining": spec.pretraining,
    }
    content |= {"hidden_act": _NAMES[spec.activation], "layer_norm_eps": spec.norm_eps}
    write_folder(encoder_from_ours(with_final_norm(weights, spec)), content, folder)
    write_json(_images(spec), folder / IMAGES)


def dimensions(dim: int, depth: int, heads: int, patch_size: int, image_size: int) -> dict[str, Any]:
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
