"""The registry of released downstream models: where from, and what they must score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossmae.errors import UserError, one_line
from crossmae.parsing import Strict, parse, read_yaml
from results.tables.published import find_number

BUILT_IN = Path(__file__).parent / "released.yaml"


@dataclass(frozen=True)
class Released(Strict):
    """One finished model, as ``released.yaml`` explains."""

    name: str
    title: str
    task: str
    recipe: str
    file: str
    url: str
    expected: dict[str, Any]
    """By metric: a number, or table, row and column of a published one."""
    band: float
    digest: str | None = None

    def numbers(self) -> dict[str, float]:
        """What is expected of each metric.

        Raises:
            UserError: there is no such published number.
        """
        return {metric: self._number(metric, value) for metric, value in self.expected.items()}

    def _number(self, metric: str, value: Any) -> float:
        if isinstance(value, int | float):
            return float(value)
        try:
            found = find_number(*value)
        except (UserError, TypeError) as error:
            raise UserError(f"{self.name}: {metric} is expected to be {value}, which is no number: {error}") from error
        if found is None:
            raise UserError(f"{self.name}: the published {metric} {value} is an empty cell; name another")
        return found.value


def load_registry(path: Path = BUILT_IN) -> list[Released]:
    """All models of a registry file.

    Raises:
        UserError: no such file, or an entry that is wrong; the line names it.
    """
    try:
        models = [parse(Released, {**values, "name": name}, name) for name, values in read_yaml(path).items()]
    except (UserError, AttributeError, TypeError) as error:
        raise UserError(f"{path} is no registry of released models: {one_line(error)}") from error
    for model in models:
        model.numbers()
    return models
