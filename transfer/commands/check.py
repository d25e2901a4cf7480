"""``transfer check``."""

from pathlib import Path

import typer
from rich.console import Console

from crossmae.errors import UserError
from transfer.commands.options import (
    BackboneOption,
    DataOption,
    DevicesOption,
    LauncherOption,
    OutOption,
    ProfileOption,
    SetOption,
    SuiteOption,
    TasksOption,
)
from transfer.harness.folder.requests import request_maker
from transfer.harness.launch.choose import find_place
from transfer.harness.plan.options import Setting
from transfer.harness.preflight.check import check_runs
from transfer.harness.preflight.disk import disk_problems


def check(
    suite: SuiteOption,
    out: OutOption = Path("runs"),
    backbone: BackboneOption = None,
    data: DataOption = None,
    change: SetOption = None,
    folders: TasksOption = None,
    devices: DevicesOption = None,
    launcher: LauncherOption = "local",
    profile: ProfileOption = None,
) -> None:
    """Looks for everything that would make a run of the suite fail later, and lists it all with its remedies.

    Example: transfer check --suite paper --data imagenet=/datasets/imagenet --data coco=/datasets/coco
    """
    console, found = Console(), list[str]()
    setting = Setting.of(suite, out, None, backbone, data, change, folders)
    _, runs, roots = setting.load(note=lambda error: found.append(str(error)))
    found += disk_problems(out, runs)
    try:
        place = find_place(launcher, devices, profile, hang_minutes=30)
        found += place.launcher(request_maker(roots, (), "", {})).problems(runs)
    except UserError as error:
        found.append(str(error))
    for lines in check_runs(runs, roots, folders or (), console.print).values():
        found += lines
    found = list(dict.fromkeys(found))
    for line in found:
        console.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(found)} problems" if found else "no problems")
    raise typer.Exit(1 if found else 0)
