"""Leaving a run so that it can be resumed: stop requests by signal, the exception that says so, and its exit code.

A request is recorded before anything else happens, so that it is honoured even where the exception that announces it
is lost: imported modules and C++ callbacks swallow exceptions.

This is the run's own process. The controller of ``run_all`` counts its signals by itself
(``transfer/harness/launch/controller.py``), and asks its runs to stop by sending them SIGTERM.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_RESUME = 75
"""Exit code of a run that saved its state and wants to be started again (EX_TEMPFAIL of sysexits.h)."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)


def signals_to_answer() -> tuple[signal.Signals, ...]:
    """``SIGNALS``, without the end of the terminal (SIGHUP) where ``nohup`` has it ignored."""
    deaf = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(number for number in SIGNALS if not (deaf and number == signal.SIGHUP))


class Stopped(Exception):  # noqa: N818 - not an error
    """The run was asked to stop and saved its state; command lines turn it into ``EXIT_RESUME``."""


@dataclass
class _Request:
    """The stop request of this process, if any; forgotten when the last of the blocks below ends."""

    first: signal.Signals | None = None
    """The signal that asked first."""
    raised: bool = False
    """Whether a handler raised ``Stopped`` for it."""
    blocks: int = 0
    """Blocks that are being executed."""

    def note(self, number: int) -> None:
        self.first = self.first or signal.Signals(number)

    def leave(self) -> Stopped:
        assert self.first is not None
        return Stopped(f"stopped by {self.first.name} before training began; start the same command again")

    def enter_block(self) -> None:
        self.blocks += 1

    def exit_block(self) -> None:
        self.blocks -= 1
        if self.blocks == 0:
            self.first, self.raised = None, False


_request = _Request()


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Signals raise ``Stopped`` while there is nothing to save (imports, listing data); a StopGuard may lie within.

    A request that came before the block is honoured when it begins. One whose exception was swallowed within the block
    is seen by the next StopGuard, and honoured at the end of the block, also in place of the error that it led to. A
    second Ctrl-C ends the process at once. To be entered in the main thread.
    """
    _request.enter_block()
    before: dict[signal.Signals, Any] = {}
    try:
        if _request.first is not None:
            raise _request.leave()
        before = {number: signal.signal(number, _leave) for number in signals_to_answer()}
        try:
            yield
        except Stopped:
            raise
        except Exception as error:
            if _request.raised:
                raise _request.leave() from error
            raise
        if _request.raised:
            raise _request.leave()
    finally:
        _restore(before)
        _request.exit_block()


class StopGuard:
    """Turns the ``SIGNALS``, among them Ctrl-C, into a stop request that a training loop reads between two steps.

    A second Ctrl-C ends the process at once. Blocks nest: a guard knows every request that came since the outermost
    block began. To be entered in the main thread, as Python delivers signals there only.

        with StopGuard() as guard:
            for step in ...:
                ...
                if guard.requested:
                    save()
                    raise Stopped(f"stopped by {guard.reason} after step {step}")
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    @property
    def reason(self) -> str | None:
        """Name of the signal that came first; None if none has come."""
        return None if _request.first is None else _request.first.name

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return _request.first is not None

    def __enter__(self) -> Self:
        _request.enter_block()
        self._before = {number: signal.signal(number, _note) for number in signals_to_answer()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)
        _request.exit_block()


def _leave(number: int, _: FrameType | None) -> None:
    if number == signal.SIGINT and _request.first == signal.SIGINT:
        _end_now()
    _request.note(number)
    _request.raised = True
    raise _request.leave()


def _note(number: int, _: FrameType | None) -> None:
    if number == signal.SIGINT and _request.first is not None:
        _end_now()
    _request.note(number)


def _end_now() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _restore(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
