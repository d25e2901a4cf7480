"""Frozen probes: 52 linear heads next to one in the same pass, and logistic regression next to scikit-learn's.

    python -m benchmarks.frozen.probes [--rounds 3] [--only heads|logistic] [--samples 500]

Each case is timed in a process of its own, whose greatest memory is measured too; the cases take turns, round after
round, and the ratios of their medians come last. Features are random clouds, one for each class. Fewer samples than the
real number show that it runs, and are no measurement.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch
from torch import Tensor

from transfer.frozen.linear import Heads
from transfer.frozen.logistic import minimise
from transfer.frozen.recipe import LinearProtocol, LogisticProtocol

SAMPLES, DIMENSIONS, CLASSES = 50_000, 768, 100
TOLERANCE = 1e-4
"""Greatest entry of the gradient of the mean loss: ours and scikit-learn's lbfgs stop by the same rule."""
ITERATIONS = 1000
HEADS_SAMPLES, HEADS_CLASSES = 20_000, 1000
"""Of the linear heads: classes as ImageNet-1K has them, one epoch."""


def clouds(samples: int, classes: int) -> tuple[Tensor, Tensor]:
    """Features (N, ``DIMENSIONS``) and labels that overlap, the same in every process."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, DIMENSIONS, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    return 0.1 * centres[labels] + torch.randn(samples, DIMENSIONS, generator=generator), labels


def heads(count: int, samples: int | None) -> float:
    """Seconds of an epoch of ``count`` heads."""
    inputs, labels = clouds(samples or HEADS_SAMPLES, HEADS_CLASSES)
    protocol = LinearProtocol(lr=tuple(1e-4 * (1 + place) for place in range(count)), epochs=1.0, batch=1024)
    trained = Heads(DIMENSIONS, HEADS_CLASSES, protocol, 0, torch.device("cpu"))
    return timed(lambda: trained.train(inputs, labels, lambda step, steps, loss: None))


def logistic_ours(samples: int | None) -> float:
    """Seconds of our logistic regression."""
    inputs, labels = clouds(samples or SAMPLES, CLASSES)
    protocol = LogisticProtocol(c=(1.0,), tolerance=TOLERANCE, max_iterations=ITERATIONS)
    return timed(lambda: minimise(inputs, labels, CLASSES, 1.0, protocol))


def logistic_theirs(samples: int | None) -> float:
    """Seconds of scikit-learn's, in double precision as ours."""
    from sklearn.linear_model import LogisticRegression

    inputs, labels = (part.numpy() for part in clouds(samples or SAMPLES, CLASSES))
    model = LogisticRegression(C=1.0, tol=TOLERANCE, max_iter=ITERATIONS)
    return timed(lambda: model.fit(inputs.astype("f8"), labels))


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_own_process(case: Callable[[], float]) -> tuple[float, float]:
    """Seconds and greatest memory in GB of ``case``, in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measured, case).result()


def _measured(case: Callable[[], float]) -> tuple[float, float]:
    seconds = case()
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


Case = Callable[[int | None], float]
"""Seconds that it takes with so many samples; None: with the number that is measured."""

CASES: dict[str, tuple[tuple[str, Case], tuple[str, Case]]] = {
    "heads": (("52 heads", partial(heads, 52)), ("1 head", partial(heads, 1))),
    "logistic": (("ours", logistic_ours), ("scikit-learn", logistic_theirs)),
}


def main() -> None:
    """Prints the medians of every pair, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=tuple(CASES))
    parser.add_argument("--samples", type=int)
    options = parser.parse_args()
    for name, pair in CASES.items():
        if options.only in (None, name):
            rounds = [
                [in_own_process(partial(case, options.samples)) for _, case in pair] for _ in range(options.rounds)
            ]
            medians = [statistics.median(taken[place][0] for taken in rounds) for place in range(2)]
            for place, (label, _) in enumerate(pair):
                memory = max(taken[place][1] for taken in rounds)
                print(f"{name}: {label} {medians[place]:.1f} s, at most {memory:.2f} GB", flush=True)
            print(f"{name}: {pair[0][0]} take {medians[0] / medians[1]:.2f} times {pair[1][0]}'s time", flush=True)


if __name__ == "__main__":
    main()
