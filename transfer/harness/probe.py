"""A data set's own process: ``python -m transfer.harness.probe REQUEST.json`` writes demo data and checks.

Engines are imported here and not in the controller. The last line on stdout is a JSON object: task name to problems.
"""

import json
import sys
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from crossmae.errors import UserError
from transfer.harness.adapter import load_adapter
from transfer.harness.processes import die_with_parent
from transfer.harness.specs import make_importable
from transfer.task import Problem, Task, TaskSpec


@dataclass(frozen=True)
class ProbeRequest:
    """The tasks that share one data set, and where it lies; ``demo`` if a missing one is to be written."""

    tasks: tuple[TaskSpec, ...]
    data_root: str | None
    demo: bool
    task_folders: tuple[str, ...]

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Answers the request named on the command line."""
    die_with_parent()
    content = json.loads(sys.argv[1])
    request = ProbeRequest(**{**content, "tasks": tuple(TaskSpec.from_dict(task) for task in content["tasks"])})
    make_importable(Path(name) for name in request.task_folders)
    answers = {spec.name: _problems(spec, request) for spec in request.tasks}
    print(json.dumps(answers))


def _problems(spec: TaskSpec, request: ProbeRequest) -> list[str]:
    try:
        task = load_adapter(spec)
        if request.data_root is None:
            return []
        root = Path(request.data_root)
        if request.demo:
            _write_demo(task, root)
        if not root.is_dir():
            return [str(_absent(spec, root))]
        return [str(problem) for problem in task.check(root)]
    except UserError as error:
        return [str(error)]
    except Exception as error:
        traceback.print_exc()
        return [f"the check of {spec.name} failed: {type(error).__name__}: {' '.join(str(error).split())}"]


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
