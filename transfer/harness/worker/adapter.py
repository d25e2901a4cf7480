"""Importing a task's class: in the run's own process only, for its engine may be missing or crash."""

from importlib import import_module

from crossmae.errors import UserError
from transfer.task import Task, TaskSpec


def load_adapter(spec: TaskSpec) -> Task:
    """An instance of the class that the spec names.

    Raises:
        UserError: the module, the class, or a library that it needs is missing; the line says how to get it.
    """
    module_name, _, class_name = spec.adapter.partition(":")
    try:
        kind = getattr(import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        raise UserError(_missing(spec, error.name or module_name)) from error
    except AttributeError as error:
        raise UserError(f"task {spec.name}: {module_name} has no class {class_name}") from error
    task: Task = kind(spec)
    return task


def _missing(spec: TaskSpec, module: str) -> str:
    if f"{spec.adapter.partition(':')[0]}.".startswith(f"{module}."):
        return f"task {spec.name}: no module {module!r}; an adapter is importable or lies in a --tasks folder"
    return f"task {spec.name} needs {module}, which is not installed; run `make setup`"
