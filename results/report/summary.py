"""What was run and what it says, in three sentences that are computed and never promise more than the data."""

from collections.abc import Iterator, Sequence
from itertools import islice

from results.compare import Comparison, ComparisonVerdict, in_common
from results.runs import Runs, StoredRecord, machine_name
from results.tables.spec import TableSpec, crossing

_KINDS = ("random", "crossmae", "mae")
"""A backbone's name contains its kind; crossmae contains mae, so the order matters."""
_MOST_CONTRASTS = 4
"""More of them would no longer be a sentence; ``transfer compare`` knows them all."""


def summarise(runs: Runs, specs: Sequence[TableSpec]) -> tuple[str, str, str]:
    """Three sentences: what was run, what it says about the backbones, what must be kept in mind."""
    return _what_was_run(runs), _what_it_says(runs, specs), _what_to_keep_in_mind(runs)


def _contrasts(runs: Runs) -> Iterator[tuple[str, str]]:
    """Yields the pairs of backbones that a reader asks about first.

    CrossMAE and MAE against random, then the two; then every other backbone against random, or else against MAE, or
    else against the first by name.
    """
    names = sorted({stored.backbone for stored in runs.records if stored.record.task.name != "pretrain"})
    first = {kind: next((name for name in names if _kind(name) == kind), None) for kind in _KINDS}
    for a, b in (("crossmae", "random"), ("mae", "random"), ("crossmae", "mae")):
        if (name := first[a]) and (other := first[b]):
            yield name, other
    reference = first["random"] or first["mae"] or next(iter(names), "")
    paired = {"crossmae", "mae"} if first["random"] or first["mae"] else set()
    done = {reference, *(name for kind, name in first.items() if kind in paired and name)}
    yield from ((name, reference) for name in names if name not in done)


def _kind(name: str) -> str | None:
    return next((kind for kind in _KINDS if kind in name.lower()), None)


def _shown_metrics(specs: Sequence[TableSpec]) -> set[tuple[str, str]]:
    """Task and metric of every column that ranks backbones; runtimes and remarks (``best: none``) do not."""
    cells = (crossing(row, column) for spec in specs for row in spec.rows for column in spec.columns)
    return {(cell.task, cell.metric) for cell in cells if cell.task and cell.metric and cell.best == "max"}


def _what_was_run(runs: Runs) -> str:
    records = [stored.record for stored in runs.records]
    if not records:
        return "No finished runs were found."
    backbones = sorted({record.backbone.name for record in records})
    seeds = sorted({record.seed for record in records})
    hours = sum(record.cost.device_hours for record in records)
    failed = sum(1 for run in runs.unfinished if run.reason)
    text = f"{_count(len(records), 'run')} of {_count(len({record.task.name for record in records}), 'task')} on "
    text += f"{_count(len(backbones), 'backbone')} ({', '.join(backbones)}) finished under {_seeds(seeds)}"
    text += f", in {hours:.2g} device-hours on {', '.join(_machines(runs.records))}"
    return f"{text}; {failed} failed and {len(runs.unfinished) - failed} did not finish."


def _what_it_says(runs: Runs, specs: Sequence[TableSpec]) -> str:
    shown = _shown_metrics(specs)
    columns = (
        (pair for pair in in_common(runs, a, b) if (pair.task, pair.metric) in shown) for a, b in _contrasts(runs)
    )
    contrasts = list(islice(filter(None, map(list, columns)), _MOST_CONTRASTS))
    if not contrasts:
        return "There is no pair of backbones to compare yet."
    text = "; ".join(map(_contrast, contrasts))
    comparisons = [comparison for contrast in contrasts for comparison in contrast]
    if all(comparison.over_seeds.low is None for comparison in comparisons):
        return f"With one seed no difference can be told from chance: {text}."
    odd = [_oddity(comparison) for comparison in comparisons if comparison.disagreeing_seeds()]
    seeds = f"single seeds disagree in {', '.join(odd)}" if odd else "no single seed disagrees with its mean"
    return f"By mean paired differences over seeds, {text}; {seeds}."


def _contrast(comparisons: list[Comparison]) -> str:
    means = [comparison.over_seeds.mean for comparison in comparisons]
    above = sum(1 for mean in means if mean > 0)
    text = f"{comparisons[0].a} minus {comparisons[0].b} is above 0 in {above} of {len(means)} columns"
    text += f" ({min(means):+.1f} to {max(means):+.1f} points)"
    if all(comparison.over_seeds.low is None for comparison in comparisons):
        return text
    sure = sum(1 for comparison in comparisons if comparison.verdict is not ComparisonVerdict.CANNOT_TELL)
    return f"{text}, its 95 % interval excluding 0 in {sure}"


def _oddity(comparison: Comparison) -> str:
    seeds = _seeds(list(comparison.disagreeing_seeds()))
    return f"{comparison.metric} of {comparison.task} ({comparison.a} minus {comparison.b}, {seeds})"


def _what_to_keep_in_mind(runs: Runs) -> str:
    deviating = [texts for texts in (stored.record.all_deviations for stored in runs.records) if texts]
    kinds = {text for texts in deviating for text in texts}
    if not deviating:
        return "No run deviates from the published protocols, as far as the recipes know them."
    demo = sum(any("demo data" in text for text in texts) for texts in deviating)
    start = f"{_count(demo, 'run')} used generated demo data, whose numbers compare with no published one; "
    start = start if demo else ""
    text = f"{start}{len(deviating)} of {len(runs.records)} runs deviate from the published protocols "
    text += f"in {_count(len(kinds), 'way')}, all listed below."
    return text[0].upper() + text[1:]


def _machines(records: Sequence[StoredRecord]) -> list[str]:
    names = {machine_name(stored) for stored in records}
    return sorted(names)


def _seeds(seeds: list[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {_list(seeds)}"


def _list(items: Sequence[int]) -> str:
    return ", ".join(str(item) for item in items)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"
