"""Learning curves of all runs below a folder, sent to a logger: from ``progress.jsonl``, so no run knows of it."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import write_json
from crossmae.parsing import parse_json
from crossmae.run.progress import ProgressFile, metrics_of
from results.runs import run_folders
from transfer.harness.folder.request import read_request
from transfer.sinks import LoggedRun, Point, Sink

Sent = dict[str, int]
"""Names of a report's metrics, joined by commas, to the last step that was sent of them."""


class Curves:
    """What has been sent of the runs below ``runs``; kept in ``folder``, so that each point is sent once.

    A resumed run reports some steps again. The loggers keep the first report of a step, as they cannot take it back.
    """

    def __init__(self, runs: Path, folder: Path) -> None:
        self._runs = runs
        self._file = folder / "sent.json"
        self._sizes: dict[Path, int] = {}
        self._sent: dict[str, Sent] = {}
        with suppress(FileNotFoundError):
            self._sent = parse_json(dict[str, Sent], self._file.read_bytes(), str(self._file))

    def send(self, sink: Sink) -> int:
        """Sends what is new; returns the number of points."""
        count = 0
        for folder, _ in run_folders(self._runs):
            if (points := list(self._new(folder))) and (run := self._logged(folder)):
                sink.send(run, points)
                self._note(folder, points)
                count += len(points)
        return count

    def _new(self, folder: Path) -> Iterator[Point]:
        size = _size(folder / "progress.jsonl")
        if size == self._sizes.get(folder, 0):
            return
        self._sizes[folder] = size
        sent = self._sent.get(_place(self._runs, folder), {})
        for line in ProgressFile(folder).read():
            metrics = metrics_of(line)
            if metrics and line["step"] > sent.get(_kind(metrics), -1):
                yield Point(int(line["step"]), line["time"], metrics)

    def _note(self, folder: Path, points: list[Point]) -> None:
        sent = self._sent.setdefault(_place(self._runs, folder), {})
        for point in points:
            sent[_kind(point.metrics)] = point.step
        write_json(self._sent, self._file)

    def _logged(self, folder: Path) -> LoggedRun | None:
        try:
            request = read_request(folder)
        except UserError:  # Of another version, or damaged: nothing is known of the run.
            return None
        return LoggedRun(
            place=_place(self._runs, folder),
            title=f"{request.task.name} {request.backbone} seed {request.seed}",
            identity="".join(filter(str.isalnum, request.identity)),
            task=request.task.name,
            backbone=request.backbone,
            seed=request.seed,
            protocol=request.recipe.protocol,
        )


def _place(runs: Path, folder: Path) -> str:
    return folder.relative_to(runs).as_posix()


def _kind(metrics: Iterable[str]) -> str:
    return ",".join(sorted(metrics))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
