"""Which operations make the host wait for the GPU, and which line of ours asked for them."""

import traceback
from typing import Any

import torch
from torch import Tensor

_READS = {
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "nonzero_numpy", "masked_select", "bincount"),
    *("_unique2", "unique_consecutive", "unique_dim", "repeat_interleave"),
}
"""Their result, or its shape, is only known once the GPU has computed it."""
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_PACKAGES = ("crossmae", "transfer", "detection", "segmentation", "detectron2", "mmseg", "mmengine", "timm")


def wait_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], on_gpu: bool) -> str | None:
    """What the host waits for in the operation ``name`` (without ``aten::``), in a few words; None if it does not.

    Args:
        on_gpu: whether the operation's first tensor lies on the GPU.
    """
    if name in _READS and on_gpu:
        return name
    if name in _INDEXING and on_gpu and any(_is_mask(index) for index in args[1]):
        return f"{name} by a mask"
    if name == "copy_" and _crosses(args[0], args[1]) and not (args[2:] and args[2]) and not kwargs.get("non_blocking"):
        return f"copy from {args[1].device.type} to {args[0].device.type}"
    device = kwargs.get("device")
    if name == "_to_copy" and device is not None and not kwargs.get("non_blocking"):
        target = torch.device(device).type
        return f"copy from {args[0].device.type} to {target}" if target != args[0].device.type else None
    return None


def line_of_ours() -> str:
    """File, number and text of the innermost line on the stack that belongs to the project or to an engine."""
    for frame in reversed(traceback.extract_stack()):
        if any(f"/{package}/" in frame.filename for package in _PACKAGES) and "/tests/" not in frame.filename:
            return f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.line}"
    return "outside of the project"


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _crosses(target: Any, source: Any) -> bool:
    return isinstance(source, Tensor) and target.device.type != source.device.type
