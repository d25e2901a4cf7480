"""The ``crossmae`` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from crossmae.commands.analysis import register as register_analysis
from crossmae.commands.data import register as register_data
from crossmae.errors import UserError, one_line, printable
from crossmae.run.stop import EXIT_RESUME, Stopped, leaving_at_once
from crossmae.train.config import Device

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """Runs the command line; errors are one line, exit code 75 means that the same command resumes later."""
    try:
        app()
    except (UserError, OSError) as error:
        print(f"crossmae: {one_line(error)}", file=sys.stderr)
        sys.exit(1)
    except Stopped as stop:
        print(f"crossmae: {stop}", file=sys.stderr)
        sys.exit(EXIT_RESUME)


@app.callback()
def root() -> None:
    """Pretrains CrossMAE and MAE vision transformers, and looks into them."""


@app.command(
    epilog="Examples: crossmae pretrain demo_crossmae --out runs/demo · "
    "torchrun --nproc-per-node 8 -m crossmae pretrain crossmae25_vit_b16 --out runs/b16 --data /datasets/imagenet"
)
def pretrain(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or the path of a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder of the run. The same command again resumes where it stopped.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Values of the recipe to change, as key=value.")] = None,
    data: Annotated[Path | None, typer.Option(help="Image folder, list of files, or folder of tar shards.")] = None,
    seed: Annotated[int, typer.Option(help="Decides initial weights, order, crops and masks.")] = 0,
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = "auto",
) -> None:
    """Pretrains an autoencoder and leaves it in OUT/checkpoint."""
    with leaving_at_once():
        from crossmae.pretraining.api import pretrain as run

        run(recipe, out, overrides or (), data, seed, device)


@app.command(epilog="Example: crossmae replay runs/b16")
def replay(
    folder: Annotated[Path, typer.Argument(help="Folder of a pretraining that ended as not finite.")],
    device: Annotated[Device, typer.Option(help="auto: a GPU where there is one.")] = "auto",
) -> None:
    """Repeats the update that was not finite, and names the first tensor in which it shows."""
    from crossmae.pretraining.run import replay as run

    for line in run(folder, device):
        print(printable(line))


register_data(app)
register_analysis(app)
