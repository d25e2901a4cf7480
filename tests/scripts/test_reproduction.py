"""Records for the page of the reproduction, taken from a folder of runs."""

from pathlib import Path

import pytest

from scripts.reproduction import main
from tests.support.runs import RunFolder


def test_runs_of_another_recipe_are_not_kept_as_the_suite_s(tmp_path: Path) -> None:
    RunFolder(tmp_path).record("inat19", "mae", 3, {"top1": 40.0})
    with pytest.raises(SystemExit, match=r"error: .* is no finished benchmark: .*; run the same command again"):
        main(["demo", str(tmp_path)])
