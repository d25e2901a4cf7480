"""What may crash or load an engine, in a process of its own: ``python -m transfer.harness.preflight.probe REQUEST``.

Writes missing demo data and lists a data set, checks it for its tasks and their recipes, or loads a backbone's weights.
The last line on stdout is a JSON object: task name, ``recipe_key`` or source of the weights to problems, and
``fingerprint_key`` to the data's fingerprint.
"""

import json
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from crossmae.errors import UserError, one_line
from crossmae.parsing import Strict, parse_json
from crossmae.recipe import Recipe, digest_of
from transfer.harness.plan.lineage import digest_of_file
from transfer.harness.plan.tasks import make_importable
from transfer.harness.worker.adapter import load_adapter
from transfer.harness.worker.process_tree import die_with_parent
from transfer.task import Problem, Task, TaskSpec


@dataclass(frozen=True)
class ProbeRequest(Strict):
    """The tasks that share one data set with their recipes, or weights to load."""

    tasks: tuple[TaskSpec, ...] = ()
    data_root: str | None = None
    demo: bool = False
    """Whether missing data is to be written."""
    source: str | None = None
    archs: tuple[str, ...] = ()
    """What the weights are said to be."""
    task_folders: tuple[str, ...] = ()
    recipes: tuple[tuple[str, Recipe], ...] = ()
    """Task name and recipe, each distinct one once."""
    digests: str | None = None
    """Where digests of large files are kept. If it is given, the data is listed for its fingerprint, not checked."""

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main() -> None:
    """Answers the request named on the command line."""
    die_with_parent()
    request = parse_json(ProbeRequest, sys.argv[1], "request")
    make_importable(Path(name) for name in request.task_folders)
    print(json.dumps(_answers(request)))


def _answers(request: ProbeRequest) -> dict[str, list[str]]:
    if request.source is not None:
        return {request.source: _of_weights(request)}
    return _of_tasks(request) if request.digests is None else _fingerprints(request)


SEEN = ":seen"
"""Under which lines are answered that say what was recognised of the data."""


@dataclass(frozen=True)
class _Looked:
    """Problems of a data set, and what was recognised of it."""

    problems: list[str]
    seen: list[str]


def fingerprint_key(task: str) -> str:
    """Under which the fingerprint of a task's data is answered, if there is one."""
    return f"{task}:data"


def _fingerprints(request: ProbeRequest) -> dict[str, list[str]]:
    """Tasks that list their data in one way are answered for at once."""
    known: dict[str, str] = {}
    answers: dict[str, list[str]] = {}
    for spec in request.tasks:
        answers[spec.name] = _guarded(spec.name, partial(_list_data, spec, request, known))
        if spec.name in known:
            answers[fingerprint_key(spec.name)] = [known[spec.name]]
    return answers


def _list_data(spec: TaskSpec, request: ProbeRequest, known: dict[str, str]) -> list[str]:
    task, root = load_adapter(spec), Path(str(request.data_root))
    if request.demo:
        _write_demo(task, root)
    if not root.exists():
        return [str(_absent(spec, root))]
    kind = f"{type(task).fingerprint.__module__} {type(task).fingerprint.__qualname__} {dict(spec.options)}"
    if kind not in known:
        known[kind] = task.fingerprint(root, partial(digest_of_file, cache=Path(str(request.digests))))
    known[spec.name] = known[kind]
    return []


def _of_tasks(request: ProbeRequest) -> dict[str, list[str]]:
    known: dict[str, _Looked] = {}
    answers = {spec.name: _guarded(spec.name, partial(_of_task, spec, request, known)) for spec in request.tasks}
    answers[SEEN] = list(dict.fromkeys(line for looked in known.values() for line in looked.seen))
    specs = {spec.name: spec for spec in request.tasks}
    for name, recipe in request.recipes:
        # A task that cannot be loaded has said so already.
        check = partial(_of_recipe, specs[name], recipe)
        answers[recipe_key(name, recipe)] = [] if answers[name] else _guarded(recipe.name, check)
    return answers


def recipe_key(task: str, recipe: Recipe) -> str:
    """Under which the problems of a task's recipe are answered."""
    return f"{task}:{digest_of([recipe.protocol, recipe.execution])}"


def _of_recipe(spec: TaskSpec, recipe: Recipe) -> list[str]:
    try:
        load_adapter(spec).check_recipe(recipe)
    except UserError as error:
        return [f"{spec.name}, recipe {recipe.name}: {error}"]
    return []


def _of_weights(request: ProbeRequest) -> list[str]:
    from crossmae.backbone import Backbone, WrappedSpec
    from crossmae.model.presets import PRESETS

    def problems() -> list[str]:
        spec = Backbone.load(str(request.source)).about
        if isinstance(spec, WrappedSpec):
            return []  # the size is the user's choice of recipes, not the name of a preset
        actual = spec.arch or f"a ViT of {spec.depth} blocks, {spec.embed_dim} wide, with patches of {spec.patch_size}"
        wrong = [arch for arch in request.archs if arch in PRESETS and arch != spec.arch]
        return [f"{request.source} is {actual}, not {arch}; name it --backbone NAME:ARCH=SOURCE" for arch in wrong]

    return _guarded(str(request.source), problems)


def _guarded(name: str, problems: Callable[[], list[str]]) -> list[str]:
    try:
        return problems()
    except UserError as error:
        return [str(error)]
    except PermissionError as error:
        return [f"{error.filename} cannot be read ({error.strerror}); ask its owner for the right to read it"]
    except Exception as error:
        traceback.print_exc()
        return [f"the check of {name} failed: {type(error).__name__}: {one_line(error)}"]


def _of_task(spec: TaskSpec, request: ProbeRequest, known: dict[str, _Looked]) -> list[str]:
    """Tasks with one way to check and the same options ask the same of the data: it is looked at once."""
    engine = [f"{spec.name} needs {name}, {fault}; run `make setup`" for name in spec.engine if (fault := _fault(name))]
    task = load_adapter(spec)
    kind = f"{type(task).check.__module__} {type(task).check.__qualname__} {dict(spec.options)}"
    if request.data_root is not None and kind not in known:
        known[kind] = _of_data(task, Path(request.data_root), request.demo)
    return [*engine, *(known[kind].problems if kind in known else [])]


def _of_data(task: Task, root: Path, demo: bool) -> _Looked:
    if demo:
        _write_demo(task, root)
    if not root.exists():
        return _Looked([str(_absent(task.spec, root))], [])
    problems = [str(problem) for problem in task.check(root)]
    return _Looked(problems, [] if problems else [*task.describe(root)])


def _fault(module: str) -> str | None:
    """What is wrong with a module of an engine; one that was built for another torch shows only when it is loaded."""
    if find_spec(module) is None:
        return "which is not installed"
    try:
        import_module(module)
    except Exception as error:
        return f"which cannot be loaded ({type(error).__name__}: {one_line(error)})"
    return None


def _write_demo(task: Task, root: Path) -> None:
    """Data that is there is never written again: if it is damaged, the check reports it."""
    if root.exists():
        return
    from crossmae.data.demo.scenes import SceneSource

    task.demo(root, SceneSource())


def _absent(spec: TaskSpec, root: Path) -> Problem:
    return Problem(f"no data at {root}", f"put it there or say where it is: --data {spec.dataset}=PATH")


if __name__ == "__main__":
    main()
