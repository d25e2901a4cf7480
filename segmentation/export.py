"""``python -m segmentation.export BACKBONE FILE [CONFIG]``: a backbone's weights for native use of the configs.

BACKBONE is whatever ``crossmae.Backbone.load`` takes; FILE is what the config's ``model.pretrained`` names.
"""

import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import segmentation.model  # noqa: F401 (registers PrefixMAE)
from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.weights.files import write_torch
from segmentation.build.common import NATIVE
from segmentation.weights import load_backbone


def export(source: str, path: Path, config: Path = NATIVE) -> None:
    """Writes the backbone ``source`` as ``config``'s backbone wants it, relative position biases included.

    Raises:
        UserError: it does not fit, with the names of the weights.
    """
    init_default_scope("mmseg")
    module = MODELS.build(Config.fromfile(config).model.backbone)
    load_backbone(module, Backbone.load(source))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_torch({"state_dict": module.state_dict()}, path)


if __name__ == "__main__":
    try:
        export(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else NATIVE)
    except IndexError:
        sys.exit(f"usage: {__doc__}")
    except UserError as error:
        sys.exit(str(error))
