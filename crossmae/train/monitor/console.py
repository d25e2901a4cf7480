"""What a person sees of a training run: log lines, a progress bar on a terminal, TensorBoard."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crossmae.run.progress import ProgressFile, Report
from crossmae.run.rank import is_main


@contextmanager
def console(folder: Path) -> Iterator[Report]:
    """Shows and keeps what a run in ``folder`` reports: yields what ``fit`` takes as ``progress``.

    Lines of the logger ``crossmae`` go to the terminal and to ``folder/log.txt``; reports to ``folder/progress.jsonl``
    and ``folder/tensorboard``, and, on a terminal, to a progress bar. Of torchrun's processes only the first shows and
    writes anything but warnings.
    """
    if not is_main():
        yield _nothing
        return
    folder.mkdir(parents=True, exist_ok=True)
    screen = Console()
    with _logging(folder, screen), _bar(screen) as show, _tensorboard(folder) as draw:
        keep = ProgressFile(folder).write

        def report(step: int, total: int, metrics: Mapping[str, float]) -> None:
            for sink in (keep, show, draw):
                sink(step, total, metrics)

        yield report


def _nothing(step: int, total: int, metrics: Mapping[str, float]) -> None:
    pass


@contextmanager
def _logging(folder: Path, screen: Console) -> Iterator[None]:
    logger = logging.getLogger("crossmae")
    file = logging.FileHandler(folder / "log.txt")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    plain = logging.StreamHandler(sys.stdout)
    shown = RichHandler(console=screen, show_level=False, show_path=False) if screen.is_terminal else plain
    logger.setLevel(logging.INFO)
    for handler in (file, shown):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, shown):
            logger.removeHandler(handler)
        file.close()


@contextmanager
def _bar(screen: Console) -> Iterator[Report]:
    if not screen.is_terminal:
        yield _nothing
        return
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[state]}"), TimeRemainingColumn())
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task("", total=None, state="")

        def show(step: int, total: int, metrics: Mapping[str, float]) -> None:
            if "loss" in metrics:
                state = f"loss {metrics['loss']:.4f}  {metrics['images_per_second']:.0f} images/s"
                bar.update(task, completed=step, total=total, state=state)

        yield show


@contextmanager
def _tensorboard(folder: Path) -> Iterator[Report]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as writer:

        def draw(step: int, total: int, metrics: Mapping[str, float]) -> None:
            del total
            for name, value in metrics.items():
                writer.add_scalar(name, value, step)

        yield draw
