"""Stop requests cannot be lost, whatever the interrupted code does with exceptions."""

# ruff: noqa: PT012 - what is tested is a block

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from crossmae.run.stop import SIGNALS, StopGuard, Stopped, leaving_at_once


def interrupt(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


def interrupted_import() -> None:
    """An import that takes any exception for a missing library."""
    with suppress(Exception):
        interrupt()


def test_a_request_that_an_import_swallowed_is_honoured_by_the_guard_that_follows() -> None:
    with pytest.raises(Stopped, match="after step 0"), leaving_at_once():
        interrupted_import()
        with StopGuard() as guard:
            if guard.requested:
                raise Stopped(f"stopped by {guard.reason} after step 0")


def test_a_request_that_an_import_swallowed_is_honoured_at_the_end_of_the_block() -> None:
    with pytest.raises(Stopped, match="stopped by SIGTERM before training began"), leaving_at_once():
        interrupted_import()


def test_a_request_that_an_import_turned_into_another_error_is_still_a_request() -> None:
    with pytest.raises(Stopped, match="SIGUSR1"), leaving_at_once():
        try:
            interrupt(signal.SIGUSR1)
        except Stopped as error:
            raise ImportError("no such library") from error


def test_an_error_without_a_request_stays_that_error() -> None:
    with pytest.raises(ValueError, match="real"), leaving_at_once():
        raise ValueError("a real one")


def test_a_request_after_the_last_step_is_honoured_by_the_block_that_follows() -> None:
    with pytest.raises(Stopped), leaving_at_once():
        with StopGuard():
            interrupt()
        with leaving_at_once():
            pytest.fail("the evaluation began")


def test_a_request_belongs_to_its_blocks_alone() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with StopGuard() as outer, StopGuard() as inner:
        interrupt()
        assert inner.requested
        assert outer.reason == "SIGTERM"
    with StopGuard() as guard:
        assert not guard.requested
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("block", ["StopGuard", "leaving_at_once"])
def test_a_second_ctrl_c_ends_the_process_at_once(block: str) -> None:
    script = f"""
import os, signal
from crossmae.run.stop import {block}
with {block}():
    for _ in range(2):
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except Exception:
            pass
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert "still here" not in done.stdout
