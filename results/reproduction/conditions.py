"""How kept records came about: a line per pretraining, and precision, versions and code of all runs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from results.report.provenance import provenance_lines
from results.runs import Runs
from results.tables.fill import Cell, RunIndex, fill
from results.tables.markup import Number
from results.tables.spec import TableLine

HEADER = ("Pretraining", "Updates", "Images an update", "Million images", "Device-minutes", "Precision", "Seeds")
_LIBRARIES = ("torch", "torchvision", "timm", "detectron2", "onedl-mmsegmentation", "mmsegmentation", "pillow")
"""The packages that compute or read what is measured, of the many that a record lists."""


def pretrainings(runs: Runs) -> Iterator[tuple[str, ...]]:
    """A row under ``HEADER`` for each backbone that was pretrained: the numbers of the tables' columns of cost."""
    index = RunIndex.of(runs)
    for backbone in sorted(index.backbones("pretrain")):
        minutes = fill(TableLine(backbone=backbone, pretraining="minutes"), index)
        images = fill(TableLine(backbone=backbone, pretraining="images"), index)
        records = [run.record for run in minutes.runs]
        yield (
            backbone,
            _all(record.recipe.protocol.get("steps") for record in records),
            _all(record.recipe.protocol.get("global_batch") for record in records),
            _mean(images, 2),
            _mean(minutes, 1),
            _all(record.recipe.execution.get("precision") for record in records),
            _all(record.seed for record in records),
        )


def sentence(runs: Runs) -> str:
    """Precision, versions of the libraries, and the code's commit, of all runs."""
    precisions = Counter(str(run.record.recipe.execution.get("precision", "not noted")) for run in runs.records)
    versions = defaultdict(set)
    for run in runs.records:
        for name, version in run.record.provenance.packages.items():
            versions[name].add(version)
    libraries = [f"{name} {' and '.join(sorted(versions[name]))}" for name in _LIBRARIES if name in versions]
    code = sorted({line.code for line in provenance_lines(runs.records)})
    parts = [
        f"Precision: {', '.join(f'{name} in {count} runs' for name, count in sorted(precisions.items()))}.",
        f"Versions: {', '.join(libraries) or 'not noted'}.",
        f"Code: {', '.join(code)}.",
    ]
    return " ".join(parts)


def _all(values: Iterable[object]) -> str:
    """Every value once, in the order of their first appearance."""
    shown = (f"{value:,}" if isinstance(value, int) else str(value) for value in values if value is not None)
    return ", ".join(dict.fromkeys(shown))


def _mean(cell: Cell, decimals: int) -> str:
    number = Number(decimals)
    if cell.mean is None:
        return ""
    error = cell.standard_error
    return number.plain(cell.mean) + (f" ± {number.plain(error)}" if error else "")
