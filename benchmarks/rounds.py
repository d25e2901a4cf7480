"""Comparisons: implementations of a case take turns, each in a process of its own, round after round."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.figures import load

Run = dict[str, Any]
"""What one implementation printed in one round, with its ``case`` and ``name``."""


def arguments(doc: str | None, cases: Iterable[str], out: Path) -> argparse.Namespace:
    """``rounds``, ``case`` (a list, or None), ``out`` and ``add`` of the command line."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=list(cases))
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--add", action="store_true", help="to the rounds that the file holds already")
    return parser.parse_args()


def earlier(options: argparse.Namespace) -> list[Run]:
    """The rounds that the new ones are added to."""
    runs: list[Run] = load(options.out)["figures"] if options.add and options.out.exists() else []
    return runs


def timed(module: str, case: str, name: str, environment: Mapping[str, str]) -> Run:
    """Runs ``python -m module case name``, whose last line is JSON; ends this program with its words if it fails."""
    command = [sys.executable, "-m", module, case, name]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{case} {name} failed:\n{done.stderr}")
    run = {"case": case, "name": name, **json.loads(done.stdout.splitlines()[-1])}
    print(f"{case} {name}: {run['ms_per_step']:.1f} ms", flush=True)
    return run


def kinds(runs: list[Run]) -> Iterable[tuple[str, str]]:
    """Every case and implementation that was measured, in order."""
    return dict.fromkeys((run["case"], run["name"]) for run in runs)


def values(runs: list[Run], case: str, name: str, key: str) -> list[float]:
    """One figure of an implementation in every round."""
    return [run[key] for run in runs if (run["case"], run["name"]) == (case, name)]
