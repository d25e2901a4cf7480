"""Folders that torch.distributed.checkpoint writes (FSDP, torchtitan): read as one file is, and none of their code run.

PyTorch's own reader unpickles ``.metadata`` without limits, so that planted code runs (seen with 2.13).
"""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from crossmae.errors import UserError
from crossmae.files import open_regular
from crossmae.weights.files import Content, Weights, read_content

METADATA = ".metadata"

_ADVICE = "take a complete checkpoint, or write its weights to one file with dcp_to_torch_save"

_HARMLESS = {
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    *(
        ("torch.distributed.checkpoint.metadata", name)
        for name in (
            "BytesStorageMetadata",
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    ),
}


def is_distributed(path: Path) -> bool:
    """Whether ``path`` is such a folder."""
    return (path / METADATA).is_file()


def read_anything(path: Path) -> Content:
    """What a weight file or such a folder holds.

    Raises:
        UserError: as ``read_content``, also of a folder.
    """
    return {**_read_distributed(path)} if is_distributed(path) else read_content(path)


def _read_distributed(folder: Path) -> Weights:
    """All dense tensors by their names with dots between nested keys, without those of the optimizer."""
    try:
        reader = _Reader(folder)
        known = reader.read_metadata().state_dict_metadata
        tensors = {
            name: about
            for name, about in known.items()
            if isinstance(about, TensorStorageMetadata) and not name.startswith("optim")
        }
        _refuse_larger(tensors, folder)
        # Chunks that are missing leave values that are not finite, which fit no model.
        weights = {name: _unread(about) for name, about in tensors.items()}
        with warnings.catch_warnings(action="ignore"):  # that no process group is there
            load(weights, storage_reader=reader, no_dist=True)
    except UserError:
        raise
    except (Exception, CheckpointException) as error:  # what is no checkpoint fails in every way there is
        # Not in torch's words, whose advice is to trust the file.
        what = str(error) if isinstance(error, _HoldsCode) else "it is damaged, or something else"
        raise UserError(f"{folder} is no readable checkpoint: {what}; nothing of it was run", _ADVICE) from error
    return weights


def _unread(about: TensorStorageMetadata) -> torch.Tensor:
    dtype = about.properties.dtype
    return torch.full(about.size, float("nan") if dtype.is_floating_point else 0, dtype=dtype)


def _refuse_larger(tensors: dict[str, TensorStorageMetadata], folder: Path) -> None:
    there = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if sum(about.size.numel() * about.properties.dtype.itemsize for about in tensors.values()) > there:
        raise UserError(f"{folder} describes weights that are larger than its files", _ADVICE)


class _Reader(FileSystemReader):
    """PyTorch's reader with a restricted unpickler, of files of its own folder alone."""

    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        folder = Path(self.path)
        with open_regular(folder / METADATA) as file:
            metadata = _Unpickler(file).load()
        if not isinstance(metadata, Metadata):
            raise UserError(f"{folder / METADATA} holds no description of a checkpoint", _ADVICE)
        names = {str(place.relative_path) for place in metadata.storage_data.values()}
        if wrong := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
            raise UserError(f"{folder} names {min(wrong)!r}, which is no file of it", _ADVICE)
        if metadata.storage_meta is None:
            metadata.storage_meta = StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata


class _HoldsCode(pickle.UnpicklingError):
    """A pickle names something that no checkpoint needs."""


class _Unpickler(pickle._Unpickler):
    """Builds the descriptions of tensors alone.

    Python's own, since that in C makes room for as many objects as the largest number in the file says.
    """

    def find_class(self, module: str, name: str) -> Any:
        is_type = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in _HARMLESS and not is_type:
            raise _HoldsCode(f"it wants to run {module}.{name}")
        return super().find_class(module, name)
