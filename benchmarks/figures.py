"""Files of measured figures: each with the machine, the versions and the command that they come from."""

import json
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transfer.harness.worker.execute import hardware

PACKAGES = ("torch", "timm", "transformers", "birder")


def load(path: Path) -> dict[str, Any]:
    """The content of a file of figures."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def save(path: Path, figures: Any, packages: Iterable[str] = PACKAGES) -> None:
    """Writes ``figures`` with where they were measured."""
    machine = {name: value for name, value in hardware().items() if name != "host"}
    content = {
        "command": " ".join(["python -m", _module(), *sys.argv[1:]]),
        "hardware": machine,
        "packages": {name: version for name in packages if (version := _version(name))},
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def _module() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else sys.argv[0]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ImportError:
        return None
