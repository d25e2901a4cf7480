"""``transfer export``: what a run has made, for others: weights, configuration and a model card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from crossmae.errors import UserError, one_line
from crossmae.files import write_json, write_text
from results.card import Measured, model_card
from results.record import Record
from results.runs import StoredRecord, find_runs
from results.store import read_record
from transfer.harness.folder.request import read_request
from transfer.harness.plan.plan import PRETRAIN
from transfer.harness.plan.tasks import load_specs
from transfer.task import TaskSpec

_FILES = ("README.md", "config.json", "model.safetensors")
_FINISHED = "crossmae.finished"
_KINDS = {
    "transfer.classification": "image-classification",
    "transfer.frozen": "image-classification",
    "transfer.robustness": "image-classification",
    "detection": "object-detection",
    "segmentation": "image-segmentation",
}
"""The hub's names for tasks, by the package of the adapter."""


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run, with its record.json.")],
    folder: Annotated[Path, typer.Argument(help="New folder to write.")],
    runs: Annotated[
        Path | None, typer.Option(help="Folder whose runs measured the backbone. Default: the one that RUN lies in.")
    ] = None,
    repo: Annotated[str | None, typer.Option(help="OWNER/NAME on the Hugging Face hub, where it goes as well.")] = None,
    public: Annotated[bool, typer.Option("--public", help="A new repository that everybody sees.")] = False,
) -> None:
    """Writes the backbone or the finished model of a run for others: weights, configuration, model card.

    The card has metrics, recipe, deviations and provenance. The hub knows you by `hf auth login` or HF_TOKEN.

    Example: transfer export runs/demo/pretrain/crossmae/0-1a2b3c4d5e exported/crossmae
    """
    out = run.resolve().parents[2]
    export_run(run, folder, runs or out, repo)
    print(f"exported to {folder}")
    if repo is not None:
        print(f"sent to {upload(folder, repo, private=not public)}")


def export_run(run: Path, folder: Path, runs: Path, repo: str | None) -> None:
    """Writes what the finished run in ``run`` has made to the new folder ``folder``.

    Of a pretraining it is the backbone, with what the runs below ``runs`` measured of it; of another run the model
    that it left.

    Args:
        repo: ``OWNER/NAME`` on the hub, under which the card says how to read it.

    Raises:
        UserError: the run is not finished or has left no model, or there is something in ``folder``.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", "name a new folder")
    stored = StoredRecord(run, read_record(run))
    record, specs = stored.record, load_specs()
    if record.task.name == PRETRAIN:
        _write_backbone(run / "checkpoint", folder)
        evaluations = [one for one in find_runs(runs).records if _is_of(one.record, record)]
        summary = f"A backbone, pretrained by the recipe {record.recipe.name} with seed {record.seed}."
        use = _python(folder, repo)
    else:
        _write_finished(_model_of(stored), record, folder)
        evaluations = [stored]
        summary = f"A finished model of the task {record.task.name} on the backbone {record.backbone.name}."
        weights = f"{repo.rpartition('/')[2] if repo else folder}/model.safetensors"
        use = f"transfer evaluate {record.task.name} --weights {weights} --recipe {record.recipe.name}"
    name = (repo or folder.resolve().name).rpartition("/")[2]
    measured = list(_measured(evaluations, specs))
    write_text(model_card(stored, name, summary, use, measured), folder / "README.md")


def upload(folder: Path, repo: str, private: bool) -> str:
    """Sends a folder that ``export_run`` wrote to the hub, as the user that Hugging Face's own client knows.

    Returns:
        The address of the repository.

    Raises:
        UserError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi, get_token

    client = HfApi()
    try:
        address = client.create_repo(repo, private=private, exist_ok=True)
        client.upload_folder(repo_id=repo, folder_path=folder, allow_patterns=list(_FILES))
    except Exception as error:  # whatever the hub's client of the day raises
        reason = one_line(error).replace(get_token() or "\0", "[token]")[:200]  # A server may repeat what it was sent.
        remedy = f"{folder} is whole: sign in by `hf auth login`, then `hf upload {repo} {folder}`"
        raise UserError(f"{repo} could not be written ({reason})", remedy) from None
    return str(address)


def _python(folder: Path, repo: str | None) -> str:
    """The code that reads a backbone."""
    if repo is None:
        return f'from crossmae import Backbone\n\nbackbone = Backbone.load("{folder}")'
    imports = "from huggingface_hub import snapshot_download\n\nfrom crossmae import Backbone"
    return f'{imports}\n\nbackbone = Backbone.load(snapshot_download("{repo}"))'


def _write_backbone(checkpoint: Path, folder: Path) -> None:
    from crossmae.backbone import Backbone

    Backbone.load(checkpoint).save(folder)


def _write_finished(weights: Path, record: Record, folder: Path) -> None:
    from crossmae.weights.files import read_weights, write_weights

    file = read_weights(weights)
    # What the file says of its backbone and its normalisation goes along, so that it is read as the run's own.
    said = {name: text for name, text in file.arguments.items() if isinstance(text, str)}
    write_weights(file.weights, folder / "model.safetensors", said)
    task = {"name": record.task.name, "version": record.task.version}
    recipe = {"name": record.recipe.name, "hash": record.recipe.hash, "protocol": record.recipe.protocol}
    write_json({"format": _FINISHED, "task": task, "recipe": recipe}, folder / "config.json")


def _model_of(stored: StoredRecord) -> Path:
    """The one file of weights among what a run has left."""
    names = [name for name, path in stored.record.artifacts.items() if Path(path).suffix in (".pth", ".safetensors")]
    files = [path for name in names if (path := stored.artifact(name))]
    if len(files) != 1:
        raise UserError(f"{stored.folder} holds {len(files)} finished models", "name a run that has left one")
    return files[0]


def _is_of(record: Record, pretraining: Record) -> bool:
    return record.backbone.lineage.get("pretraining_run") == pretraining.identity


def _measured(evaluations: list[StoredRecord], specs: Mapping[str, TaskSpec]) -> Iterator[Measured]:
    for stored in sorted(evaluations, key=lambda stored: stored.order):
        spec = _spec_of(stored, specs)
        if spec is None:
            yield Measured(stored.record, stored.record.task.name, "unknown", "other")
        elif kind := next((kind for room, kind in _KINDS.items() if spec.adapter.startswith(f"{room}.")), None):
            yield Measured(stored.record, spec.title, spec.dataset or "none", kind)


def _spec_of(stored: StoredRecord, specs: Mapping[str, TaskSpec]) -> TaskSpec | None:
    """As the run was given it, else the built-in one."""
    try:
        return read_request(stored.folder).task
    except UserError:
        return specs.get(stored.record.task.name)
