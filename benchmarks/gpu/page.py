"""The page of one machine: a table for each part, in Markdown."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from tabulate import tabulate

Row = Mapping[str, Any]
TITLES = {
    "tests": "Tests that need a GPU",
    "steps": "Pretraining steps",
    "runs": "Whole runs",
    "downstream": "Steps of fine-tuning, ViTDet and UperNet",
    "processes": "Several processes",
}
COLUMNS = {
    "batch": ("batch", "{:.0f}", 1.0),
    "images_per_second": ("images/s", "{:,.0f}", 1.0),
    "ms_per_step": ("ms a step", "{:,.1f}", 1.0),
    "memory_bytes": ("GiB", "{:.1f}", 2.0**-30),
    "mfu": ("MFU", "{:.1f} %", 100.0),
    "hours_on_eight": ("hours on eight", "{:.1f}", 1.0),
}
"""Figures of steps: heading, format, factor."""
GOALS = {"crossmae25_vit_b16": 0.45, "crossmae25_vit_l16": 0.55}
"""MFU that was asked for on an H100."""


def page(device: str, gpus: int, minutes: float, rows: Iterable[Row]) -> str:
    """The whole page; a part whose cases were not chosen is left out."""
    rows = list(rows)
    count = f", {gpus} of them" if gpus > 1 else ""
    lines = [
        f"# {device}{count}",
        "",
        f"Written by `make gpu` on {date.today()} in {minutes:.1f} minutes. Hours: of 800 epochs of ImageNet on eight, "
        "if eight were eight times as fast as what was measured and nothing were waited for.",
    ]
    for part, title in TITLES.items():
        cases = [row for row in rows if row["part"] == part]
        if cases:
            lines += ["", f"## {title}", "", _table(part, cases)]
    return "\n".join([*lines, *_goals(rows), ""])


def _table(part: str, rows: list[Row]) -> str:
    if part in ("steps", "downstream"):
        cells = [[row["name"], *_measured(row), _note(row)] for row in rows]
        return tabulate(cells, ["", *(title for title, _, _ in COLUMNS.values()), ""], "pipe", disable_numparse=True)
    cells = [[row["name"], "; ".join(_said(row)) or _note(row)] for row in rows]
    return tabulate(cells, ["", "outcome"], "pipe", disable_numparse=True)


def _measured(row: Row) -> Iterable[str]:
    figures = row.get("figures", {})
    for name, (_, form, factor) in COLUMNS.items():
        value = figures.get(name)
        yield "" if value is None else form.format(factor * value)


def _said(row: Row) -> Iterable[str]:
    if row["outcome"] != "done":
        return
    for name, value in row["figures"].items():
        text = f"{value:,.4g}" if isinstance(value, float) else str(value)
        yield text if name == "output" else f"{name.replace('_', ' ')} {text}"


def _note(row: Row) -> str:
    return "" if row["outcome"] == "done" else str(row["outcome"]).replace("|", "/")


def _goals(rows: list[Row]) -> Iterable[str]:
    """The best MFU beside the one that was asked for."""
    for recipe, goal in GOALS.items():
        reached = [
            row["figures"]["mfu"]
            for row in rows
            if row["name"].startswith(recipe) and row.get("figures", {}).get("mfu") is not None
        ]
        if reached:
            yield f"\n{recipe}: {max(reached):.1%} MFU at best; asked for on an H100: {goal:.0%}."
