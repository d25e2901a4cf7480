"""Where a backbone comes from, as known before anything runs: a backbone's share of a run's identity."""

import hashlib
import json
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.files import write_json

_NAMED = ("random:", "timm:", "hf:")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def lineage_of_source(source: str, cache: Path) -> dict[str, Any]:
    """``{"source": name}`` for a named backbone, ``{"file": sha256}`` for weights on disk.

    Raises:
        UserError: there is no such file.
    """
    name, _, place = source.rpartition("@") if source.startswith("timm:") else ("", "", source.removeprefix("hf:"))
    path = Path(place)
    if source.startswith(_NAMED) and not name and not path.is_dir():
        return {"source": source}
    file = next((path / name for name in _WEIGHTS if (path / name).is_file()), path)
    if not file.is_file():
        raise UserError(
            f"no weights at {source}", "give a folder, a .pth or .safetensors file, timm:NAME or random:ARCH"
        )
    return {"file": digest_of_file(file, cache), **({"source": name} if name else {})}


def lineage_of_pretraining(identity: str, recipe_hash: str, seed: int) -> dict[str, Any]:
    """Lineage of a backbone that a run of this plan pretrains."""
    return {"pretraining_run": identity, "recipe_hash": recipe_hash, "seed": seed}


def digest_of_file(file: Path, cache: Path, algorithm: str = "sha256") -> str:
    """Hex digits over the bytes of ``file``.

    They are kept in ``cache`` under size and modification time: weights of gigabytes are read once.
    """
    stat = file.stat()
    key = f"{file.resolve()}:{stat.st_size}:{stat.st_mtime_ns}" + ("" if algorithm == "sha256" else f":{algorithm}")
    known: dict[str, str] = json.loads(cache.read_text()) if cache.is_file() else {}
    if key not in known:
        with open(file, "rb") as stream:
            known[key] = hashlib.file_digest(stream, algorithm).hexdigest()
        _keep(cache, known)
    return known[key]


def _keep(cache: Path, known: dict[str, str]) -> None:
    if not cache.parent.is_dir():
        return
    write_json(known, cache)
