"""A run's own process: ``python -m transfer.harness.worker RUN_FOLDER``.

Holds the folder's lock, starts one process per device where the run has several, and leaves ``record.json`` or an
attempt. Exit codes: 0 done, 75 stopped with its state saved, 1 failed with the reason as the last line on stderr.
"""

import logging
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import remove_leftovers, write_json
from crossmae.parsing import parse_file
from crossmae.run.lock import hold_folder
from crossmae.run.rank import is_main, rank, under_torchrun
from crossmae.run.stop import EXIT_RESUME
from transfer.harness.folder.attempts import attempts_of, begin_attempt, end_attempt
from transfer.harness.folder.record import set_aside_damaged_record
from transfer.harness.folder.request import Request, read_request
from transfer.harness.plan.tasks import make_importable
from transfer.harness.worker import torchrun
from transfer.harness.worker.execute import Outcome, execute
from transfer.harness.worker.process_tree import die_with_parent
from transfer.task import OWN_DATA

LOCK_PATIENCE = 90.0
"""Seconds that a run waits for its predecessor's last processes to end."""


def main() -> None:
    """Runs the folder named on the command line."""
    die_with_parent()
    try:
        sys.exit(_work(Path(sys.argv[1]).resolve()))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _work(folder: Path) -> int:
    request = read_request(folder)
    make_importable(Path(name) for name in request.task_folders)
    # The launcher keeps stdout and stderr in log.txt.
    level = logging.INFO if is_main() else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S", stream=sys.stdout)
    if not under_torchrun() and torchrun.node() > 0:
        torchrun.join_meeting(folder)
    with hold_folder(folder, wait=LOCK_PATIENCE):
        if under_torchrun():
            return _rank(folder, request)
        if torchrun.node() > 0:
            return torchrun.run_ranks(folder, request.devices)
        return _first(folder, request)


def _first(folder: Path, request: Request) -> int:
    """The run's first process: the one that says how it ended."""
    if line := set_aside_damaged_record(folder, request.identity):
        print(line, file=sys.stderr)
    remove_leftovers(folder)
    if (folder / "record.json").exists():
        return 0
    for line in attempts_of(folder).damaged:
        print(line, file=sys.stderr)
    begin_attempt(folder, request.command)
    # Links to the user's own data, which a former start laid out, are laid out anew.
    shutil.rmtree(folder / OWN_DATA, ignore_errors=True)
    if link := link_in(folder):
        # In a stranger's folder it may point to any file of the user, which the run would write.
        return _leave(folder, Outcome(1, f"{link} is a link; remove it, or put what it points to in its place"))
    outcome = execute(folder, request) if request.devices == 1 else _several(folder, request)
    return _leave(folder, outcome)


def link_in(folder: Path) -> Path | None:
    """A symbolic link in a run's folder that leads out of it, if there is one; submitit's lead to its own files."""
    inside = folder.resolve()
    names = (Path(inner) / name for inner, folders, files in os.walk(folder) for name in (*folders, *files))
    return next((path for path in names if path.is_symlink() and not _target(path).is_relative_to(inside)), None)


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):  # A link to itself.
        return Path("/")


def _leave(folder: Path, outcome: Outcome) -> int:
    if outcome.exit_code == 0:
        (folder / "session.json").unlink(missing_ok=True)
        return 0
    with suppress(OSError):  # A full disk: the reason may still find its way into the log.
        end_attempt(folder, outcome.reason, outcome.exit_code, outcome.retryable)
    print(outcome.reason, file=sys.stderr)
    return outcome.exit_code


def _rank(folder: Path, request: Request) -> int:
    """One of several processes of a run: reports to the first process how it ended."""
    outcome = execute(folder, request)
    with suppress(OSError):  # A full disk: torchrun is told by the exit code.
        write_json(asdict(outcome), folder / f"outcome-{rank()}.json")
    if outcome.exit_code not in (0, EXIT_RESUME):
        _end_at_once(outcome)
    return outcome.exit_code


def _end_at_once(outcome: Outcome) -> None:
    """Ends this process without any clean-up: NCCL's would wait for the other processes, and they for this one."""
    with suppress(OSError, ValueError):
        print(outcome.reason, file=sys.stderr)
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(outcome.exit_code)


def _several(folder: Path, request: Request) -> Outcome:
    for old in folder.glob("outcome-*.json"):
        old.unlink()
    if torchrun.nodes() > 1:
        torchrun.call_meeting(folder)
    exit_code = torchrun.run_ranks(folder, request.devices)
    outcomes = [_read_outcome(path) for path in sorted(folder.glob("outcome-*.json"))]
    for path in folder.glob("outcome-*.json"):
        path.unlink()
    return _summed_up(exit_code, outcomes, request.devices)


def _read_outcome(path: Path) -> Outcome:
    try:
        return parse_file(Outcome, path)
    except UserError:  # Torn by a kill.
        return Outcome(1, "one of the run's processes was killed while it reported its end", retryable=True)


def _summed_up(exit_code: int, outcomes: list[Outcome], processes: int) -> Outcome:
    """The first real failure counts: the other processes are stopped because of it."""
    if exit_code == 0:
        return Outcome(0)
    if failed := [outcome for outcome in outcomes if outcome.exit_code not in (0, EXIT_RESUME)]:
        return min(failed, key=lambda outcome: outcome.ended)
    if exit_code == EXIT_RESUME or len(outcomes) == processes:
        stopped = [outcome for outcome in outcomes if outcome.exit_code == EXIT_RESUME]
        return stopped[0] if stopped else Outcome(EXIT_RESUME, "stopped before it began", retryable=True)
    # Those that live saved their state when torchrun ended them; another was killed and left no outcome.
    return Outcome(1, f"{processes - len(outcomes)} of the run's {processes} processes were killed", retryable=True)


if __name__ == "__main__":
    main()
