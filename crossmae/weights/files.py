"""Weight files: read without executing anything, written atomically."""

import argparse
import hashlib
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from crossmae.errors import UserError, one_line, printable
from crossmae.files import open_regular, write_atomically

Weights = dict[str, Tensor]

OPTIONS = "crossmae_config"
"""Under this key an exported file with released names carries its MAEConfig."""

Content = dict[str, Any]
"""What a file holds: weights, dictionaries of weights, and plain values."""

_NESTED = ("model", "state_dict")
"""Keys under which files of whole models keep the weights, if not at the top."""

DEEPEST = 4
"""Levels of nested dictionaries that are looked into."""

_MOST_ENTRIES = 20_000
"""Entries of all dictionaries together: of a ViT-g with its teacher and its optimizer there are fewer than 5,000."""

_MOST_OPTIONS = 10_000
"""Values next to the weights that are looked at; references can make any number of few."""

_ADVICE = "download it again, or take another checkpoint of the run"

_CONVERT = "load it with the library that wrote it and save the state_dict of the model alone"

_OBJECTS = ("nsupported global", "unsupported GLOBAL", "Can only create new object", "Can only build", "reduce for")
"""What PyTorch's restricted unpickler says of files that hold code or objects."""

_STRANGERS = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file (git lfs pull fetches it)",
    b"<": "is a web page, not weights",
    b"\x08": "looks like an ONNX model, not named weights",
}
"""What files begin with that often lie under a weight file's name."""

_SCALARS = [np.bool_, np.int32, np.int64, np.float16, np.float32, np.float64]


@dataclass(frozen=True)
class WeightFile:
    """Weights as they are in the file, and what the file says about them."""

    weights: Weights
    arguments: dict[str, Any] = field(default_factory=dict)
    """Options of the run that wrote the file: the ``args`` of a ``.pth``, the metadata of a ``.safetensors``."""


def read_content(path: Path) -> Content:
    """Everything in safetensors or a PyTorch file, whichever it is by its content; none of its code is run.

    argparse's Namespace and numpy's numbers may be in it, and mmengine's log buffers, in whose place blanks are built.

    Raises:
        UserError: no such file, damaged, something else, larger in memory than on the disk, or a pickle that holds
            more than weights, plain values and what may be in it.
    """
    if not path.is_file():
        raise UserError(f"no weight file {path}", "give the path of a .safetensors or .pth file")
    with open_regular(path) as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):
        return _read_torch(path)
    if head.startswith(b"\x80"):  # of another protocol than PyTorch's
        raise _refused(path)
    kinds = [kind for start, kind in _STRANGERS.items() if head.lstrip().startswith(start)]
    raise UserError(f"{path} {kinds[0] if kinds else 'is damaged or no weight file' if head else 'is empty'}", _ADVICE)


def read_weights(path: Path) -> WeightFile:
    """The weights of the whole model in a file, without DDP's ``module.``, and its options.

    Raises:
        UserError: as ``read_content``.
    """
    content = read_content(path)
    if averaged := [key for key in content if "ema" in str(key) and isinstance(content[key], dict)]:
        raise UserError(
            f"{path} holds two sets of weights, {averaged[0]} is the other", "write a file with one of them"
        )
    weights = next((content[key] for key in _NESTED if isinstance(content.get(key), dict)), content)
    tensors = {name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, Tensor)}
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise UserError(f"{path} has names with and without module. for the same weights", "save one of them")
    return WeightFile(named, arguments_in(content))


def arguments_in(content: Content) -> dict[str, Any]:
    """The options next to the weights: plain values, and the contents of ``args``. All others are left out."""
    options = content.get("args")
    budget = iter(range(_MOST_OPTIONS))
    ours = _plain({name: content[name] for name in (OPTIONS,) if name in content}, budget)
    run = _plain(vars(options), budget) if isinstance(options, argparse.Namespace) else {}
    rest = {name: value for name, value in content.items() if not isinstance(value, Tensor | dict)}
    return _plain(rest, budget) | ours | run


def write_weights(weights: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes a ``.safetensors``, complete or not at all.

    Raises:
        UserError: it cannot be written, as on a full disk.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    _write(path, lambda part: save_file(plain, part, metadata=dict(metadata or {})))


def write_torch(content: Mapping[str, Any], path: Path) -> None:
    """Writes a ``.pth``, complete or not at all; raises as ``write_weights``."""
    _write(path, lambda part: torch.save(content, part))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write_atomically(path, write)
    except (SafetensorError, RuntimeError) as error:  # in which the libraries hide that of the operating system
        remedy = "free some space, or choose another folder"
        raise UserError(f"{path} cannot be written ({one_line(error, 120)})", remedy) from error


def digest_weights(weights: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits over names, shapes, types and values; the same wherever the weights lie."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def part_of(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The weights whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def prefixed(weights: Mapping[str, Tensor], prefix: str) -> Weights:
    """The same weights with ``prefix`` before every name."""
    return {prefix + name: tensor for name, tensor in weights.items()}


def _read_safetensors(path: Path) -> Content:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            metadata = file.metadata() or {}
    except Exception as error:  # a wrong head fails in several ways
        raise UserError(f"{path} is not a complete .safetensors file ({one_line(error, 100)})", _ADVICE) from error
    return {**metadata, **weights}


def _read_torch(path: Path) -> Content:
    size = path.stat().st_size
    known = torch.serialization.safe_globals(_harmless())
    try:
        _refuse_archives(path, size)
        # Opened here: PyTorch goes by the name of a path.
        with known, warnings.catch_warnings(action="ignore"), open_regular(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except Exception as error:  # what is no pickle fails in every way there is
        if isinstance(error, pickle.UnpicklingError) and any(sign in str(error) for sign in _OBJECTS):
            raise _refused(path) from error
        raise UserError(f"{path} is damaged or no PyTorch weight file", _ADVICE) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not named weights", _ADVICE)
    _refuse_larger(content, path, size)
    return content


def _refused(path: Path) -> UserError:
    what = f"{path} refused: it holds code or objects next to weights; none of it was run"
    return UserError(what, "take a file of weights alone, best a .safetensors")


def _refuse_archives(path: Path, size: int) -> None:
    """Refuses those of others, and compressed ones.

    PyTorch stores without compression; what unpacks to more than the file holds was made to fill the memory.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith(".npy") for name in names):
                raise UserError(f"{path} is an archive of NumPy's, as JAX's models are released", _CONVERT)
            if any(name.endswith("/constants.pkl") for name in names):
                raise UserError(f"{path} is a TorchScript archive, which holds code; none of it was run", _CONVERT)
            if sum(entry.file_size for entry in archive.infolist()) > size:
                raise UserError(f"{path} is compressed", "unpack and save it again with torch.save")


def _refuse_larger(content: Mapping[Any, Any], path: Path, size: int) -> None:
    """Refuses tensors that are not dense, on the CPU and no larger than the file, alone or together."""
    entries, total, pending = 0, 0, [(content, DEEPEST)]
    while pending:
        mapping, levels = pending.pop()
        entries += len(mapping)
        if entries > _MOST_ENTRIES:
            raise UserError(f"{path} has more than {_MOST_ENTRIES} entries", "write a file with the weights alone")
        for key, value in mapping.items():
            if isinstance(value, Mapping) and levels:
                pending.append((value, levels - 1))
            if not isinstance(value, Tensor):
                continue
            name = printable(str(key)[:60])
            if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
                raise UserError(f"{path}: {name} is no dense tensor with values", "save plain, dense weights")
            total += (taken := value.numel() * value.element_size())
            if taken > size:
                raise UserError(f"{path}: {name} is larger than the file", "save it with .clone() of every weight")
    # Tied weights are few; thousands of names for one memory were made to fill another.
    if total > 4 * size:
        raise UserError(f"{path}: its weights are larger than the file", "save it with .clone() of every weight")


def _plain(values: Mapping[Any, Any], budget: Iterator[int]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(name, str) and _is_plain(value, budget)}


def _is_plain(value: Any, budget: Iterator[int], depth: int = 0) -> bool:
    """Whether ``value`` is a number, a short text or a list or mapping of such, and is looked at within ``budget``."""
    if next(budget, None) is None or depth > 20:
        return False
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_plain(inner, budget, depth + 1) for name, inner in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(inner, budget, depth + 1) for inner in value)
    if isinstance(value, str):
        return len(value) <= _MOST_OPTIONS
    return value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63)


def _harmless() -> list[Any]:
    """Classes of plain values: the Namespace of a run's options, and numpy's numbers, which meters leave behind.

    Also blanks in place of what mmengine's log buffers are made of.
    """
    numpy = [f"numpy.{core}.multiarray" for core in ("core", "_core")]
    numbers = [*((_scalar, f"{module}.scalar") for module in numpy), np.dtype, *(type(np.dtype(t)) for t in _SCALARS)]
    arrays = ["numpy.ndarray", *(f"{module}._reconstruct" for module in numpy)]
    buffers = ["mmengine.logging.history_buffer.HistoryBuffer", "builtins.getattr", "builtins.slice", *arrays]
    return [argparse.Namespace, *numbers, *((_Blank, name) for name in buffers)]


class _Blank:
    """Stands for an object that is not looked at."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _scalar(kind: "np.dtype[Any]", content: bytes) -> Any:
    """One of numpy's numbers; numpy itself would make one of any size."""
    if kind.type not in _SCALARS:
        raise pickle.UnpicklingError(f"no number of type {kind}")
    return np.frombuffer(content, kind, 1)[0]
