"""Where a backbone comes from, as known before anything runs: a backbone's share of a run's identity."""

import hashlib
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.files import open_regular, write_json
from crossmae.parsing import parse, parse_file
from crossmae.weights.options import WRAPPED, split_source
from crossmae.wrapped.own_code import PREFIX, digest_of

_NAMED = ("random:", "timm:", "hf:", PREFIX)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_DISTRIBUTED = ".metadata"
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
"""What decides next to the weights what the model of a folder computes."""


def lineage_of_source(source: str, cache: Path) -> dict[str, Any]:
    """``{"source": name}`` for a named backbone, ``{"file": sha256}`` for weights on disk.

    Raises:
        UserError: there is no such file.
    """
    place, options = split_source(source)
    # What stands behind the ? makes another backbone of the same file.
    said: dict[str, Any] = {"options": options.given()} if options.given() else {}
    by_code = place.startswith(("timm:", PREFIX))
    name, _, file_place = place.rpartition("@") if by_code else ("", "", place.removeprefix("hf:"))
    if place.startswith(PREFIX):
        said = {"code": digest_of(name or place), **said}
    path = Path(file_place)
    if place.startswith(_NAMED) and not name and not path.is_dir():
        return {"source": place, **said}
    files = _weight_files(path)
    if not all(file.is_file() for file in files):
        raise UserError(
            f"no weights at {source}",
            "give a folder, a .pth or .safetensors file, timm:NAME, hf:FOLDER, python:MODULE:FUNCTION or random:ARCH",
        )
    if place.startswith("hf:") or _is_wrapped(path):
        files += [path / name for name in _CONFIGS if (path / name).is_file()]
    digests = [digest_of_file(file, cache) for file in files]
    digest = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    return {"file": digest, **({"source": name} if name else {}), **said}


def _is_wrapped(path: Path) -> bool:
    """Whether the folder is a backbone of ours that another library's code builds, as its configuration says."""
    config = path / _CONFIGS[0]
    return config.is_file() and parse_file(dict, config).get("format") == WRAPPED


def _weight_files(path: Path) -> list[Path]:
    """The file of a folder's weights, or all that its index lists; ``path`` itself if it is no such folder.

    Of a folder of torch.distributed.checkpoint, which has no index to read, all files.
    """
    if (path / _DISTRIBUTED).is_file():
        return sorted(file for file in path.iterdir() if file.is_file())
    for name in _WEIGHTS:
        index = path / f"{name}.index.json"
        if (path / name).is_file():
            return [path / name]
        if index.is_file():
            content = parse_file(dict, index)
            places = parse(dict, content.get("weight_map"), f"weight_map of {index}")
            return [path / file for file in sorted({str(file) for file in places.values()})]
    return [path]


def lineage_of_pretraining(identity: str, recipe_hash: str, seed: int, data: str | None) -> dict[str, Any]:
    """Lineage of a backbone that a run of this plan pretrains, on data of the fingerprint ``data``."""
    return {"pretraining_run": identity, "recipe_hash": recipe_hash, "seed": seed, "data": data}


def digest_of_file(file: Path, cache: Path, algorithm: str = "sha256") -> str:
    """Hex digits over the bytes of ``file``.

    They are kept in ``cache`` under size and modification time: weights of gigabytes are read once.
    """
    stat = file.stat()
    key = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}" + ("" if algorithm == "sha256" else f":{algorithm}")
    known = _known(cache)
    if key not in known:
        with open_regular(file) as stream:
            known[key] = hashlib.file_digest(stream, algorithm).hexdigest()
        _keep(cache, known)
    return known[key]


def _known(cache: Path) -> dict[str, str]:
    """What is kept; a file that is damaged, or none, keeps nothing."""
    try:
        return parse_file(dict[str, str], cache)
    except UserError:
        return {}


def _keep(cache: Path, known: dict[str, str]) -> None:
    if not cache.parent.is_dir():
        return
    write_json(known, cache)
