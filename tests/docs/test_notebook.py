"""The notebook, executed from top to bottom as a reader would."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from results.runs import find_runs

NOTEBOOK = Path(__file__).parents[2] / "docs" / "python.ipynb"
RUNS = "runs/notebook"


def code() -> str:
    """The code cells as one program."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
def test_the_notebook_runs_and_leaves_records(tmp_path: Path) -> None:
    program = f"{code()}\nruns.to_csv('table.csv')\n"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=600)
    records = find_runs(tmp_path / RUNS).records
    assert [(stored.record.task.name, stored.backbone) for stored in records] == [
        ("imagenet_knn@zscore", "crossmae"),
        ("imagenet_knn@zscore", "random"),
    ]

    table = pd.read_csv(tmp_path / "table.csv")
    assert table["value"].tolist() == [value for stored in records for value in stored.record.metrics.values()]
