"""What the controller asks of a launcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transfer.harness.plan.plan import Run


@dataclass(frozen=True)
class Ended:
    """A run whose processes are gone. ``reason`` is empty if it is done."""

    run: Run
    exit_code: int
    reason: str = ""
    retryable: bool = False


class Launcher(Protocol):
    """Starts runs and tells when they ended."""

    def problems(self, runs: Sequence[Run]) -> list[str]:
        """Why ``runs`` could not be started here, each in one line that says what to do."""
        ...

    def adopt(self, runs: list[Run]) -> list[Run]:
        """Those of ``runs`` that a former controller started and that go on; others' leftovers are ended."""
        ...

    def start(self, run: Run) -> bool:
        """Starts ``run``; False if there is no room for it now.

        Raises:
            OSError: its folder cannot be written.
            UserError: it is refused.
        """
        ...

    def poll(self) -> list[Ended]:
        """Runs that ended since the last call, well or not."""
        ...

    def stop(self) -> str:
        """Lets go of all runs without a loss, and says what becomes of them; ``poll`` reports them."""
        ...

    def kill(self) -> None:
        """Ends all runs at once."""
        ...

    def command(self, run: Run) -> str:
        """The command line that ``start`` would execute."""
        ...

    def place(self, run: Run) -> str:
        """Where a running run runs: its devices, or its job."""
        ...
