"""Leaving a run so that it can go on later: signals, the exception that says so, and its exit code."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

EXIT_RESUME = 75
"""Exit code of a run that saved its state and wants to be started again (EX_TEMPFAIL of sysexits.h)."""

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


class Stopped(Exception):  # noqa: N818 - not an error
    """The run was asked to stop and saved its state; command lines turn it into ``EXIT_RESUME``."""


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Signals raise ``Stopped`` while there is nothing to save yet (imports, listing data); a StopGuard may lie within.

    To be entered in the main thread.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise Stopped(f"stopped by {signal.Signals(number).name} before training began; start the same command again")

    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopGuard:
    """Turns SIGTERM, SIGUSR1, SIGUSR2 and Ctrl-C into a wish to stop that a training loop reads between two steps.

    A second Ctrl-C ends the process at once. Guards nest: an inner one knows what an outer one was told.
    To be entered in the main thread, as Python delivers signals there only.

        with StopGuard() as guard:
            for step in ...:
                ...
                if guard.requested:
                    save()
                    raise Stopped(f"stopped by {guard.reason} after step {step}")
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.reason is not None

    def __enter__(self) -> Self:
        outer = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if isinstance(outer, StopGuard):
            self.reason = outer.reason
        self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self.requested:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        self.reason = self.reason or signal.Signals(number).name
