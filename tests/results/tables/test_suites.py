"""Tables ask for backbones, tasks and metrics by name: somebody must produce them under these names."""

from pathlib import Path

import pytest
import yaml

import results
from results.tables.spec import crossing, load_table, table_names

TRANSFER = Path(results.__file__).parents[1] / "transfer"


def named(folder: str) -> dict[str, dict[str, object]]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in (TRANSFER / folder).glob("*.yaml")}


@pytest.mark.parametrize("name", table_names())
def test_every_backbone_and_task_of_a_table_is_in_a_suite(name: str) -> None:
    spec = load_table(name)
    lines = [crossing(row, column) for row in spec.rows for column in spec.columns]
    backbones = {backbone for suite in named("suites").values() for backbone in suite.get("backbones", ())}  # type: ignore[attr-defined]
    assert {line.backbone for line in lines if line.backbone and "*" not in line.backbone} <= backbones
    assert {line.task for line in lines if line.task} <= set(named("tasks"))
