"""Keeps the records of finished runs under ``docs/reproduction`` and writes the page and the README's table from them.

``python -m scripts.reproduction`` writes both anew; ``python -m scripts.reproduction demo runs/demo`` takes the records
of a finished ``run_all --suite demo --out runs/demo`` first.
"""

import sys
from pathlib import Path

from crossmae.errors import UserError
from results.reproduction.page import SUITES, write_page
from results.reproduction.records import keep
from results.runs import Planned, find_runs
from transfer.harness.plan.options import BenchmarkOptions

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reproduction"


def planned(suite: str, out: Path) -> list[Planned]:
    """Every run of the suite, as it is in this version, under each seed that has a record below ``out``."""
    seeds = sorted({run.record.seed for run in find_runs(out).records})
    _, runs, _ = BenchmarkOptions(suite, out, tuple(seeds)).load()
    return [run.planned for run in runs]


def main(arguments: list[str]) -> None:
    """Does it, or ends with one line that says why not."""
    try:
        if arguments:
            if len(arguments) != 2:
                raise UserError("give a suite and the folder of its runs, or nothing", "such as demo runs/demo")
            suite, runs = arguments
            if suite not in SUITES:
                raise UserError(f"the page has no suite {suite!r}", f"it has {' and '.join(SUITES)}")
            keep(Path(runs), suite, FOLDER, planned(suite, Path(runs)))
        write_page(FOLDER, FOLDER.with_suffix(".md"), ROOT / "README.md")
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
