"""Runs with everything that a report shows."""

import json

import pytest
from PIL import Image

from tests.support.runs import RunFolder


@pytest.fixture
def dressed(hand_checked: RunFolder) -> RunFolder:
    """The hand-checked runs with learning curves and pictures."""
    for path in hand_checked.out.glob("*/*/*/record.json"):
        lines = [{"time": step, "step": step, "total": 40, "loss": 4.0 / step, "lr": 0.1} for step in range(1, 41)]
        text = "\n".join(json.dumps(line) for line in lines)
        (path.parent / "progress.jsonl").write_text(f'{text}\n{{"time": 41, "st')
        Image.new("RGB", (64, 64), (200, 30, 30)).save(path.parent / "drawn.png")
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "artifacts": {"predictions": "drawn.png", "weights": "model.pth"}}))
    return hand_checked
