"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

SuiteOption = Annotated[str, typer.Option("--suite", help="A built-in suite, or the path of a suite's YAML file.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for runs, tables and the report.")]
SeedOption = Annotated[
    list[int] | None, typer.Option("--seed", "--seeds", help="Seed instead of the suite's; repeat it for several.")
]
BackboneOption = Annotated[
    list[str] | None,
    typer.Option("--backbone", help="NAME=SOURCE instead of the suite's; NAME:ARCH=SOURCE where recipes ask for it."),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option("--data", help="NAME=PATH of a data set, or NAME=PATH:LAYOUT of one of yours; repeat it."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="TASK.KEY=VALUE of a recipe, or TASK.devices=N; repeat it.")
]
TasksOption = Annotated[list[Path] | None, typer.Option("--tasks", help="Folder with tasks of your own.")]
DevicesOption = Annotated[
    str | None, typer.Option("--devices", help="GPUs such as 0,1,2; cpu; or cpu:4 for four slots. Default: all.")
]
LauncherOption = Annotated[str, typer.Option("--launcher", help="local, or slurm.")]
ProfileOption = Annotated[Path | None, typer.Option("--profile", help="YAML file that describes the Slurm cluster.")]
