"""What may crash or load an engine, in a process of its own: ``python -m transfer.harness.probe REQUEST``.

Writes missing demo data and checks a data set for its tasks, or loads a backbone's weights. The last line on stdout is
a JSON object: task name, or source of the weights, to problems.
"""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from crossmae.errors import UserError
from transfer.harness.adapter import load_adapter
from transfer.harness.processes import die_with_parent
from transfer.harness.specs import make_importable
from transfer.task import Problem, Task, TaskSpec


@dataclass(frozen=True)
class ProbeRequest:
    """The tasks that share one data set, or weights to load."""

    tasks: tuple[TaskSpec, ...] = ()
    data_root: str | None = None
    demo: bool = False
    """Whether missing data is to be written."""
    source: str | None = None
    task_folders: tuple[str, ...] = ()

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Answers the request named on the command line."""
    die_with_parent()
    content = json.loads(sys.argv[1])
    request = ProbeRequest(**{**content, "tasks": tuple(TaskSpec.from_dict(task) for task in content["tasks"])})
    make_importable(Path(name) for name in request.task_folders)
    print(json.dumps(_of_tasks(request) if request.source is None else {request.source: _of_weights(request.source)}))


def _of_tasks(request: ProbeRequest) -> dict[str, list[str]]:
    """Tasks of one class and with the same options ask the same of the data."""
    known: dict[str, list[str]] = {}
    answers = {}
    for spec in request.tasks:
        kind = f"{spec.adapter} {dict(spec.options)} {spec.engine}"
        if kind not in known:
            known[kind] = _guarded(spec.name, partial(_of_task, spec, request))
        answers[spec.name] = known[kind]
    return answers


def _of_weights(source: str) -> list[str]:
    from crossmae.backbone import Backbone

    def problems() -> list[str]:
        Backbone.load(source)
        return []

    return _guarded(source, problems)


def _guarded(name: str, problems: Callable[[], list[str]]) -> list[str]:
    try:
        return problems()
    except UserError as error:
        return [str(error)]
    except Exception as error:
        traceback.print_exc()
        return [f"the check of {name} failed: {type(error).__name__}: {' '.join(str(error).split())}"]


def _of_task(spec: TaskSpec, request: ProbeRequest) -> list[str]:
    missing = [f"{spec.name} needs {name}, which is not installed; run `make setup`" for name in _missing(spec)]
    task = load_adapter(spec)
    if request.data_root is None:
        return missing
    root = Path(request.data_root)
    if request.demo:
        _write_demo(task, root)
    if not root.is_dir():
        return [*missing, str(_absent(spec, root))]
    return [*missing, *map(str, task.check(root))]


def _missing(spec: TaskSpec) -> list[str]:
    return [name for name in spec.engine if find_spec(name) is None]


def _write_demo(task: Task, root: Path) -> None:
    """Data that is there is never written again: if it is damaged, the check says so."""
    if root.exists():
        return
    from crossmae.data.scenes import SceneSource

    task.demo(root, SceneSource())


def _absent(spec: TaskSpec, root: Path) -> Problem:
    return Problem(f"no data at {root}", f"put it there or say where it is: --data {spec.dataset}=PATH")


if __name__ == "__main__":
    main()
