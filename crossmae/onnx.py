"""A backbone's features as one ONNX graph, for programs without torch."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from crossmae.backbone import Backbone
from crossmae.errors import UserError, one_line
from crossmae.features import Features
from crossmae.files import write_bytes

OUTPUTS = ("pooled", "prefix", "map")
_OPSET = 20
_MOST_BYTES = 2**31 - 2**20
"""Less than protobuf's limit by what the graph itself takes."""


class _Graph(nn.Module):
    """Features of images as they come from a file, since whoever runs a graph has no other place for the statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("mean", torch.tensor(features.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(features.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        output = self.features((images - self.mean) / self.std)
        return output.pooled, output.prefix, output.maps[-1]


def export_onnx(source: str, path: Path) -> None:
    """Writes the features of ``source`` to ``path``, an ``.onnx``.

    The input ``images`` is (N, 3, H, W) with values from 0 to 1, of the size that the backbone was trained with; its
    own normalisation is in the graph. The outputs are those of ``FeatureOutput``, the last of its maps.

    Raises:
        UserError: another suffix, no package ``onnxscript``, more than 2 GB, or a model that torch cannot trace.
    """
    if path.suffix != ".onnx":
        raise UserError(f"{path}: graphs are written to an .onnx", "choose a path that ends so")
    backbone = Backbone.load(source)
    if sum(tensor.nbytes for tensor in backbone.state_dict().values()) > _MOST_BYTES:
        raise UserError(f"{source} has more than the 2 GB that an ONNX file holds", "take another format")
    graph = _Graph(backbone.features()).eval()
    side = backbone.about.image_size
    try:
        program = torch.onnx.export(
            graph,
            (torch.zeros(2, 3, side, side),),
            dynamo=True,
            dynamic_shapes={"images": {0: torch.export.Dim("images")}},
            input_names=["images"],
            output_names=OUTPUTS,
            opset_version=_OPSET,
            verbose=False,
        )
    except ModuleNotFoundError as error:
        raise UserError(f"no package {error.name}", "pip install onnxscript") from error
    except Exception as error:  # whatever torch meets in a model, one of the user's own among them
        raise UserError(
            f"{source} cannot be written as an ONNX graph ({one_line(error)})", "export it to timm"
        ) from error
    assert program is not None
    model = program.model_proto
    model.metadata_props.add(key="crossmae", value=json.dumps(asdict(backbone.about)))
    write_bytes(model.SerializeToString(), path)
