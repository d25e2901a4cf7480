"""A benchmark that is disturbed at random: ``python -m tests.chaos MINUTES [SEED]``, as ``make chaos`` does.

Each round is a benchmark of its own: while it runs, something happens to it every second or so, and whenever it has
ended without being done, the same command is started again. At the end of a round its results must be those of an
undisturbed benchmark, and no process, lock, socket, shared memory or temporary file may be left. Exit code 1 if not.
"""

import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.house import House

PATIENCE = 900.0
"""Seconds that a round may take after its last fault."""


def main() -> None:
    """As the module says, with a task that trains among those of the benchmark."""
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**6
    sys.exit(chaos(60 * float(sys.argv[1]), seed, training=True) > 0)


def chaos(seconds: float, seed: int, training: bool) -> int:
    """Prints a line for each round, then how often what happened; returns the number of rounds that went wrong."""
    print(f"seed {seed}", flush=True)
    dice, counts, wrong = random.Random(seed), Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        expected = undisturbed(Path(folder) / "undisturbed", training)
        number, ends = 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            number += 1
            house = House((Path(folder) / f"round-{number}").resolve(), training)
            happened = disturb(house, dice, min(ends, time.monotonic() + 60))
            counts.update(happened)
            problems = [*house.finish(PATIENCE), *compare(expected, house.results()), *house.left_behind()]
            wrong += bool(problems)
            print(
                f"round {number}: {sum(happened.values())} faults",
                *(problems or ["as undisturbed"]),
                sep="; ",
                flush=True,
            )
    print(
        f"\n{'what happened':32}{'times':>6}",
        *(f"{kind:32}{count:6}" for kind, count in sorted(counts.items())),
        sep="\n",
    )
    print(f"{sum(counts.values())} faults of {len(counts)} kinds in {number} rounds, {wrong} of them wrong")
    return wrong


def undisturbed(folder: Path, training: bool) -> dict[str, dict[str, float]]:
    """The results that every round must have."""
    house = House(folder.resolve(), training)
    problems = [*house.finish(PATIENCE), *house.left_behind()]
    assert not problems, problems
    return house.results()


def disturb(house: House, dice: random.Random, until: float) -> Counter[str]:
    """Has things happen to the benchmark until it is done, or for some time."""
    happened: Counter[str] = Counter()
    while time.monotonic() < until and not house.is_done():
        house.keep_running()
        time.sleep(dice.uniform(0.2, 2.5))
        kind = dice.choice(sorted(FAULTS))
        if FAULTS[kind](house, dice):
            happened[kind] += 1
    return happened


def compare(expected: dict[str, dict[str, float]], found: dict[str, dict[str, float]]) -> list[str]:
    """What differs, in words."""
    differ = [run for run, metrics in expected.items() if found.get(run) != metrics]
    return [f"{run}: {json.dumps(found.get(run))}, not {expected[run]}" for run in differ]


if __name__ == "__main__":
    main()
