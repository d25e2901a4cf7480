"""Speed records and the tables that show them."""

import json

import pytest
import yaml

from tests.support.bench import Bench

TABLE = {
    "title": "Speed",
    "rows": [{"name": "CrossMAE", "backbone": "random"}],
    "columns": [
        {"name": "minutes", "task": "speed", "metric": "minutes_per_epoch", "machine": True},
        {"name": "MB", "task": "speed", "metric": "memory_mb", "machine": True},
    ],
}


@pytest.mark.slow
def test_a_table_shows_the_speed_and_the_machine_that_it_was_measured_on(bench: Bench) -> None:
    (bench.folder / "speed.yaml").write_text(yaml.safe_dump(TABLE))
    content = bench.suite_content({"speed": "demo_crossmae"}, speed=["global_batch=8"])
    bench.write_suite({**content, "tables": ["speed.yaml"]})
    code, output = bench.run()
    assert code == 0, output
    record = json.loads((bench.run_folder("speed") / "record.json").read_text())
    assert record["metrics"]["minutes_per_epoch"] > 0
    assert record["recipe"]["execution"]["matmul_precision"] == "medium"
    assert record["recipe"]["execution"]["precision"] in ("fp32", "bf16")  # the recipe says auto
    shown = (bench.folder / "out" / "tables" / "speed.md").read_text()
    assert f"{record['metrics']['minutes_per_epoch']:.1f}" in shown
    assert f"measured on {record['provenance']['hardware']['processor']}" in shown
    assert bench.run()[1].startswith("nothing to do")
