"""The images have what the set-up asks for."""

from pathlib import Path

import pytest

from scripts.prerequisites import COMPILER, OPENCV_LIBRARIES, TOOLS

CONTAINERS = Path(__file__).parents[2] / "scripts" / "containers"


@pytest.mark.parametrize("name", ["Dockerfile", "crossmae.def"])
def test_recipe_installs_every_prerequisite_and_calls_the_set_up(name: str) -> None:
    text = (CONTAINERS / name).read_text()
    needed = {*TOOLS.values(), *COMPILER.values(), *OPENCV_LIBRARIES.values(), "python3", "python3-venv"}
    assert needed <= set(text.split())
    assert "make setup" in text or "make -C /opt/crossmae setup" in text
