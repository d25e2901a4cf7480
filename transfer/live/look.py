"""What a folder of runs looks like at the moment, from its files alone.

No lock is asked for and nothing is written, so that it may be looked at from another machine, over NFS, at any time.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from crossmae.errors import printable
from results.runs import Planned, named_by, run_folders
from transfer.harness.folder.expected import Expected, read_expected
from transfer.harness.folder.planned import PlannedRun, read_plan
from transfer.harness.plan.plan import PRETRAIN
from transfer.harness.show.time_left import Durations, time_left
from transfer.live.seen import FolderReader, LiveState, Seen, bounded

_FRESH = 1.0
"""Seconds for which a picture serves everybody who asks."""


@dataclass(frozen=True)
class LiveRun:
    """A run as the page shows it; every text is printable and of bounded length."""

    key: str
    """Stands for the folder in requests, which so name no path."""
    task: str
    backbone: str
    label: str
    """The seed; with a part of the folder's name where another run has the same one."""
    state: LiveState
    share: float
    """From 0 to 1."""
    line: str
    """How far it is, why it failed, or what it waits for."""
    number: str = ""
    """The first metric, of a finished run."""


@dataclass(frozen=True)
class Picture:
    """All runs at one moment."""

    runs: tuple[LiveRun, ...]
    left: str
    """How long the whole still takes."""
    folders: Mapping[str, Path]
    """Of the runs that have begun, by key."""
    reports: Mapping[str, Path]
    """Each ``report.html`` in a folder of runs, by key."""

    def content(self) -> dict[str, Any]:
        """Plain values for the page."""
        counts = Counter(run.state for run in self.runs)
        tasks = sorted({run.task for run in self.runs}, key=lambda task: (task != PRETRAIN, task))
        return {
            "summary": f"{len(self.runs)} runs: " + ", ".join(f"{counts[state]} {state}" for state in LiveState),
            "left": self.left,
            "share": sum(run.share for run in self.runs) / max(1, len(self.runs)),
            "tasks": tasks,
            "backbones": sorted({run.backbone for run in self.runs}),
            "reports": [{"key": key, "name": printable(str(path))} for key, path in self.reports.items()],
            "runs": [asdict(run) for run in self.runs],
        }


class Watch:
    """Looks at the runs below a folder, again and again; what does not change any more is read once."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self._lock = Lock()
        self._picture: tuple[float, Picture] | None = None
        self._reader = FolderReader()

    def picture(self) -> Picture:
        """The runs now, or as they were a second ago; whoever asks in the meantime waits for the same answer."""
        with self._lock:
            if self._picture is None or time.monotonic() - self._picture[0] > _FRESH:
                picture = self._look()
                self._picture = time.monotonic(), picture
            return self._picture[1]

    def _look(self) -> Picture:
        places = {folder: place for folder, _ in run_folders(self.runs) if (place := named_by(folder))}
        seen = {folder: seen for folder in places if (seen := self._reader.read(folder))}
        outs = dict.fromkeys([self.runs, *(folder.parents[2] for folder in seen if self._is_in_an_out(folder))])
        plan = {out / run.place: run for out in outs for run in read_plan(out)}
        for folder, run in plan.items():
            places[folder] = Planned(run.task, run.backbone, run.seed)
            known = seen.get(folder, Seen(LiveState.WAITING))
            seen[folder] = known._replace(line=_waits_for(run, folder, seen) or known.line)
        expected = {identity: one for out in outs for identity, one in read_expected(out).items()}
        return Picture(
            runs=tuple(_live_runs(seen, places, self.runs)),
            left=_left(seen, plan, expected),
            folders={_key(folder, self.runs): folder for folder in seen},
            reports={_key(out, self.runs): out.relative_to(self.runs) / "report.html" for out in outs if _report(out)},
        )

    def _is_in_an_out(self, folder: Path) -> bool:
        """Whether the folder that ``run_all`` was given is ``self.runs`` or below it."""
        return len(folder.relative_to(self.runs).parts) >= 3


def _waits_for(run: PlannedRun, folder: Path, seen: Mapping[Path, Seen]) -> str:
    needed = seen.get(folder.parents[2] / run.needs) if run.needs else None
    waits = folder not in seen or seen[folder].state is LiveState.WAITING
    if needed is None or needed.state is LiveState.DONE or not waits:
        return ""
    return bounded(f"waits for {run.needs} ({needed.state})")


def _left(seen: Mapping[Path, Seen], plan: Mapping[Path, PlannedRun], expected: Mapping[str, Expected]) -> str:
    durations = Durations(expected)
    for one in seen.values():
        if one.taken:
            durations.add(*one.taken)

    def whole(folder: Path) -> float | None:
        run = plan.get(folder)
        return durations.of((run.task, run.recipe_hash), run.identity, run.devices) if run else None

    running = {folder: one for folder, one in seen.items() if one.state is LiveState.RUNNING}
    waiting = [folder for folder, one in seen.items() if one.state is LiveState.WAITING]
    if not (running or waiting):
        return "nothing is left to run"
    lanes = [whole(folder) if one.left is None else one.left for folder, one in running.items()]
    sentence = time_left(lanes, map(whole, waiting))
    return sentence if running else f"nothing runs at the moment; {sentence}"


def _live_runs(seen: Mapping[Path, Seen], places: Mapping[Path, Planned], runs: Path) -> Iterator[LiveRun]:
    same = Counter(places[folder][:3] for folder in seen)
    for folder, one in sorted(seen.items(), key=lambda pair: (places[pair[0]][:3], pair[0])):
        task, backbone, seed = place = places[folder][:3]
        label = f"seed {seed}" if same[place] == 1 else f"seed {folder.name[:12]}"
        key = _key(folder, runs)
        yield LiveRun(key, bounded(task), bounded(backbone), bounded(label), one.state, one.share, one.line, one.number)


def _report(out: Path) -> bool:
    path = out / "report.html"
    return path.is_file() and not path.is_symlink()


def _key(folder: Path, runs: Path) -> str:
    return sha256(os.fsencode(folder.relative_to(runs))).hexdigest()[:16]
