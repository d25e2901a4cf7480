"""A short part of ``make chaos``: a benchmark that is killed, stopped and starved ends as if nothing had been."""

import pytest

from tests.chaos.__main__ import chaos


@pytest.mark.slow
def test_a_disturbed_benchmark_ends_as_an_undisturbed_one() -> None:
    assert chaos(25, seed=7, training=False) == 0
