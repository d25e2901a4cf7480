"""A backbone as an ``init_checkpoint`` for detectron2: ``python -m detection.export SOURCE FILE.pth [PATCH_SIZE]``."""

import sys
from pathlib import Path

from crossmae.backbone import Backbone
from crossmae.weights.files import write_torch
from detection.weights import detector_state


def export(backbone: Backbone, path: Path, patch_size: int = 16) -> None:
    """Writes ``backbone`` under the names that it has in a ViTDet model, for patches of ``patch_size`` pixels."""
    weights = {f"backbone.net.{name}": weight for name, weight in detector_state(backbone, patch_size).items()}
    write_torch({"model": weights}, path)


if __name__ == "__main__":
    source, target, *patch = sys.argv[1:]
    export(Backbone.load(source), Path(target), *(int(size) for size in patch))
