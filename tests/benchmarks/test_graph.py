"""The kernels of a compiled update, counted without a GPU, and what an update takes at least."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.graph import roofline
from benchmarks.graph.parts import PARTS

ROOT = Path(__file__).parents[2]
KERNELS = {"encoder attention": 41, "encoder MLP": 39, "encoder norms, residual sums": 13}
"""Of two blocks, forward and backward, with torch 2.13; casts of weights and of their gradients are most of them."""


@pytest.mark.slow
def test_a_compiled_update_is_one_graph_whose_elementwise_chains_are_fused() -> None:
    command = [sys.executable, "-m", "benchmarks.graph.kernels", "compiled", "demo_crossmae", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    update: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert update["graphs"] == 2, "a forward and a backward graph: no graph break"
    found = Counter(kernel["part"] for kernel in update["kernels"])
    assert {part: found[part] for part, most in KERNELS.items() if found[part] > most} == {}
    assert found["encoder MLP"] > 8, "two products, four in the backward pass, and GELU's kernels"


def test_the_longer_of_products_and_bytes_counts() -> None:
    card = roofline.Card("H100", products=100.0, bandwidth=10.0)
    assert card.seconds({"flops": 300, "bytes": 20, "times": 2}) == 6
    assert card.seconds({"flops": 0, "bytes": 20, "times": 1}) == 2


def test_figures_are_of_one_graph_and_of_known_parts() -> None:
    figures = roofline.read()
    assert figures
    for ways in figures.values():
        assert {way: update["graphs"] for way, update in ways.items()} == {"eager": 2, "compiled": 2}
        assert {kernel["part"] for update in ways.values() for kernel in update["kernels"]} <= set(PARTS)


def test_the_page_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    roofline.main()
    page = (ROOT / "docs" / "measurements.md").read_text()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [line for line in lines if line not in page] == []
    assert len(lines) > len(PARTS)
