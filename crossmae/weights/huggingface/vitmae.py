"""ViTMAE in folders of Hugging Face: the whole autoencoder, read and written without transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.weights.autoencoder import AutoencoderWeights
from crossmae.weights.checkpoint import read_config
from crossmae.weights.files import part_of, prefixed
from crossmae.weights.huggingface.folder import weights_in, write_folder
from crossmae.weights.huggingface.names import decoder_from_ours, decoder_to_ours, encoder_from_ours, encoder_to_ours
from crossmae.weights.huggingface.vit import dimensions


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
    content = dimensions(config.embed_dim, config.depth, config.num_heads, config.patch_size, config.image_size) | {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "decoder_hidden_size": config.decoder_embed_dim,
        "decoder_num_hidden_layers": config.decoder_depth,
        "decoder_num_attention_heads": config.decoder_num_heads,
        "decoder_intermediate_size": 4 * config.decoder_embed_dim,
        "mask_ratio": config.mask_ratio,
        "norm_pix_loss": config.norm_pix_loss,
    }
    write_folder({**prefixed(encoder, "vit."), **prefixed(decoder, "decoder.")}, content, folder)


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
