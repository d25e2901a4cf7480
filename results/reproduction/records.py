"""Records that are kept next to the page which shows them: a file per suite and seed, a line per record."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from crossmae.errors import UserError
from crossmae.files import read_regular, write_text
from results.record import Record
from results.runs import Planned, Runs, StoredRecord, find_runs

_MOST_BYTES = 2**24
_SUFFIX = ".jsonl"


def keep(runs: Path, suite: str, folder: Path, planned: Collection[Planned] = ()) -> list[Path]:
    """Writes the records below ``runs`` as ``folder/<suite>/<seed>.jsonl``, in place of those of the same seeds.

    Only those of ``planned`` runs, each of which has to be there; of all runs, by default.

    Returns:
        The files.

    Raises:
        UserError: a run that failed, did not end or never began, a record that cannot be read, or no record at all.
    """
    found = _only(find_runs(runs, planned), planned) if planned else find_runs(runs)
    unfinished = [f"{run.task} {run.backbone} seed {run.seed}" for run in found.unfinished]
    if wrong := [*found.problems, *unfinished]:
        raise UserError(f"{runs} is no finished benchmark: {wrong[0]}", "run the same command again until it is done")
    if not found.records:
        raise UserError(f"no records below {runs}", "give the folder of a finished run_all, such as runs/demo")
    seeds: dict[int, list[Record]] = defaultdict(list)
    for stored in sorted(found.records, key=lambda run: (run.order, run.record.identity)):
        seeds[stored.record.seed].append(_portable(stored.record))
    files = {folder / suite / f"{seed}{_SUFFIX}": _lines(records) for seed, records in seeds.items()}
    for path, text in files.items():
        write_text(text, path)
    return list(files)


def kept(folder: Path, suite: str) -> Runs:
    """The records of a suite that ``keep`` wrote; none, if there are no files of it.

    Raises:
        RecordError: a line that is no sound record.
    """
    files = sorted((folder / suite).glob(f"*{_SUFFIX}"))
    return Runs(tuple(StoredRecord(path, record) for path in files for record in _read(path)))


def _only(found: Runs, planned: Iterable[Planned]) -> Runs:
    """Without runs that nobody planned, such as those of a backbone that was added on the command line."""
    asked = {run[:3] for run in planned}
    records = tuple(run for run in found.records if run.order in asked)
    unfinished = tuple(run for run in found.unfinished if (run.task, run.backbone, run.seed) in asked)
    return replace(found, records=records, unfinished=unfinished)


def _read(path: Path) -> Iterable[Record]:
    lines = read_regular(path, _MOST_BYTES).splitlines()
    return (Record.from_json(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1))


def _portable(record: Record) -> Record:
    """Without files that do not come along, and without what names a machine or its folders: host and command."""
    hardware = {name: value for name, value in record.provenance.hardware.items() if name != "host"}
    return replace(record, artifacts={}, provenance=replace(record.provenance, command="", hardware=hardware))


def _lines(records: Iterable[Record]) -> str:
    # Keys in the schema's order: the first metric of a record is its task's main one, so sorting would change a table.
    return "".join(json.dumps(record.to_dict()) + "\n" for record in records)
