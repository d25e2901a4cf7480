"""CrossMAE pretraining: images in, a trained backbone out.

Names are imported on first use, so that command lines and the benchmark's controller start without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmae.backbone import Backbone
    from crossmae.errors import UserError
    from crossmae.model.autoencoder import MaskedAutoencoder
    from crossmae.model.config import MAEConfig
    from crossmae.pretraining.api import pretrain
    from crossmae.weights.sources import load_pretrained
    from crossmae.weights.spec import BackboneSpec

__all__ = ["Backbone", "BackboneSpec", "MAEConfig", "MaskedAutoencoder", "UserError", "load_pretrained", "pretrain"]

_HOMES = {
    "Backbone": "crossmae.backbone",
    "BackboneSpec": "crossmae.weights.spec",
    "MAEConfig": "crossmae.model.config",
    "MaskedAutoencoder": "crossmae.model.autoencoder",
    "UserError": "crossmae.errors",
    "load_pretrained": "crossmae.weights.sources",
    "pretrain": "crossmae.pretraining.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crossmae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
