"""The registry of released downstream models and backbones: where from, and what they must score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.errors import UserError
from crossmae.parsing import NotNegative, Strict, parse, read_yaml
from results.tables.published import find_number
from transfer.task import check_name

BUILT_IN = Path(__file__).parent / "released.yaml"


@dataclass(frozen=True, kw_only=True)
class _ReleasedValues(Strict):
    title: str
    task: str
    recipe: str
    file: str
    url: str
    expected: dict[str, float | tuple[str, str, str]]
    """By metric: a number, or table, row and column of a published one."""
    band: NotNegative
    digest: str | None = None
    backbone: str | None = None
    """Of a backbone, on which the task is run: its source, with ``{file}`` and ``{folder}``. None: a finished model."""


@dataclass(frozen=True)
class Released(_ReleasedValues):
    """One finished model or backbone, as ``released.yaml`` and ``frozen.yaml`` explain."""

    name: str

    def source(self, file: Path) -> str | None:
        """What the backbone in ``file`` is called as a source; None of a finished model."""
        return self.backbone and self.backbone.replace("{file}", str(file)).replace("{folder}", str(file.parent))

    def numbers(self) -> dict[str, float]:
        """What is expected of each metric.

        Raises:
            UserError: there is no such published number.
        """
        return {metric: self._number(metric, value) for metric, value in self.expected.items()}

    def _number(self, metric: str, value: float | tuple[str, str, str]) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            number = find_number(*value)
        except UserError as error:
            raise UserError(f"{self.name}: {metric} is expected to be {value}, which is no number: {error}") from error
        if number is None:
            raise UserError(f"{self.name}: the published {metric} {value} is an empty cell", "name another")
        return number.value


def load_registry(path: Path = BUILT_IN) -> list[Released]:
    """All models of a registry file.

    Raises:
        UserError: no such file, or an entry that is wrong; the line names it.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} is no registry of released models", f"see {BUILT_IN}")
    models = [_released(path, str(name), values) for name, values in content.items()]
    for model in models:
        model.numbers()
    return models


def _released(path: Path, name: str, values: Any) -> Released:
    return Released(check_name("released model", name), **vars(parse(_ReleasedValues, values, f"{path}: {name}")))
