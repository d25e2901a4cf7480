"""A model card: what a model is, what it measured and how it was made, all from records.

Its head is read by the Hugging Face hub: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from crossmae.errors import printable
from results.record import Record
from results.report.provenance import provenance_lines
from results.runs import StoredRecord
from results.tables.formats import templates
from results.tables.markup import Markdown

_TYPE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Measured:
    """A record, and what its task is called elsewhere."""

    record: Record
    title: str
    """Of the task."""
    dataset: str
    kind: str
    """The hub's name for tasks like it, such as ``image-classification``."""


def model_card(made: StoredRecord, name: str, summary: str, use: str, measured: Sequence[Measured]) -> str:
    """The card of the model that the run ``made`` left.

    Args:
        name: what the model is called.
        summary: what it is, in a sentence.
        use: the code that reads it.
        measured: its numbers.
    """
    text = Markdown().text
    record, (line,) = made.record, provenance_lines([made])
    backbone = {"name": record.backbone.name, "digest": record.backbone.digest, **record.backbone.lineage}
    return (
        templates()
        .get_template("card.md.j2")
        .render(
            head=_yaml(_head(name, measured)),
            title=text(name),
            summary=text(summary),
            use=_fenced(use),
            rows=[[text(cell) for cell in row] for row in _rows(measured)],
            recipe=f"{text(line.recipe)}; {text(line.source)}",
            protocol=_fenced(_yaml(record.recipe.protocol)),
            execution=_fenced(_yaml(record.recipe.execution)),
            backbone=_fenced(_yaml({**backbone, "pretraining": record.backbone.pretraining})),
            deviations=[text(deviation) for deviation in record.all_deviations],
            facts=[
                ("Code", text(line.code)),
                ("Data", f"fingerprint {text(record.data)}" if record.data else "none"),
                ("Machine", text(line.machine)),
                ("Device-hours", f"{record.cost.device_hours:.3f}"),
                ("Finished", text(line.finished)),
                ("Packages", text(line.packages)),
            ],
            command=_fenced(line.command),
        )
    )


def _head(name: str, measured: Iterable[Measured]) -> dict[str, Any]:
    results = [_result(one) for one in measured]
    index = {"model-index": [{"name": name, "results": results}]} if results else {}
    return {"library_name": "crossmae", "tags": ["vision-transformer", "masked-autoencoder"], **index}


def _result(measured: Measured) -> dict[str, Any]:
    record = measured.record
    arguments = {"recipe": f"{record.recipe.name} ({record.recipe.hash})", "seed": record.seed}
    kind = measured.dataset if _TYPE.fullmatch(measured.dataset) else "other"
    return {
        "task": {"type": measured.kind, "name": measured.title},
        "dataset": {"type": kind, "name": measured.dataset, "args": arguments},
        "metrics": [{"type": name, "name": name, "value": value} for name, value in record.metrics.items()],
    }


def _rows(measured: Iterable[Measured]) -> list[tuple[str, ...]]:
    return [
        (
            one.title,
            one.record.recipe.name,
            str(one.record.seed),
            ", ".join(f"{name} {value:.4g}" for name, value in one.record.metrics.items()),
            "; ".join(one.record.deviations) or "none",
        )
        for one in measured
    ]


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip()


def _fenced(text: str) -> str:
    """``text`` as a block of code, which no line of it can end."""
    lines = [printable(line) for line in text.splitlines()]
    fence = "`" * max(3, *(len(run) + 1 for line in lines for run in re.findall("`+", line)), 3)
    return "\n".join([fence, *lines, fence])
