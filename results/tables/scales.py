"""Scales (``data/scales.yaml``): suites whose backbones stand for the paper's, and the names that they have there."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from crossmae.parsing import Strict, parse, read_yaml

_FILE = Path(__file__).parents[1] / "data" / "scales.yaml"


@dataclass(frozen=True)
class Scale(Strict):
    """A suite whose backbones stand for those of the paper."""

    title: str
    archs: tuple[str, ...]
    """The paper's architectures that this scale has, or has a smaller model for."""
    backbone: str | None = None
    """A backbone's name, with ``{method}`` and ``{arch}`` in it."""
    methods: dict[str, str] = field(default_factory=dict)
    """Names of backbones that do not follow ``backbone``, by method."""
    stands_in_for: tuple[str, ...] = ()
    """Parts of backbones' names in the paper's tables; what is left of a name is its method."""
    remark: str = ""
    name: str = ""

    def backbone_of(self, method: str, arch: str) -> str | None:
        """Name of the backbone that ``method`` made; None where the scale has none for ``arch``."""
        if arch not in self.archs:
            return None
        pattern = (self.backbone or "").format(method=method, arch=arch)
        return self.methods.get(method, pattern) or None

    def stand_in(self, backbone: str) -> str | None:
        """Name of the backbone that stands for the paper's ``backbone`` in its tables; None where none does."""
        parts = [part for part in self.stands_in_for if part in backbone]
        return self.backbone_of(backbone.replace(parts[0], "", 1), self.archs[0]) if parts else None


@cache
def load_scales() -> dict[str, Scale]:
    """Every scale by name, the paper's own first."""
    return {name: parse(Scale, {**values, "name": name}, name) for name, values in read_yaml(_FILE).items()}
