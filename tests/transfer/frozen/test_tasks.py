"""The probes as tasks, on small data in the real format."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from crossmae.backbone import Backbone
from crossmae.data.staging.forms import Form
from crossmae.data.staging.stage import Staging
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.train.runtime.distributed import World
from tests.support.labelled_images import write_imagenet
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.layouts import READERS
from transfer.frozen.extract import Extractor
from transfer.frozen.knn import KnnTask
from transfer.frozen.linear import LinearTask
from transfer.frozen.logistic import LogisticTask
from transfer.frozen.recipe import FrozenExecution, FrozenProtocol
from transfer.frozen.selection import choose, few, hold_out
from transfer.frozen.task import FrozenTask
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.task import Context

SPECS = load_specs()
KNN = KnnTask(SPECS["imagenet_knn@raw"])
LOGISTIC = LogisticTask(SPECS["imagenet_logistic"])
LINEAR = LinearTask(SPECS["imagenet_frozen_linear"])
GRIDS: dict[str, dict[str, Any]] = {
    "knn": {"k": 5},
    "logistic": {"tokens": ["token", "avg"], "c": [0.001, 0.1, 10.0], "tolerance": 1.0e-4},
    "linear": {"tokens": ["token", "avg", "concat"], "lr": [0.01, 0.1, 1.0], "epochs": 5.0, "batch": 16},
}
TASKS: dict[str, FrozenTask[Any]] = {"knn": KNN, "logistic": LOGISTIC, "linear": LINEAR}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """49 training images and 51 validation images."""
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    write_imagenet(folder, train=49, val=51)
    return folder


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.load("random:vit_demo", seed=3)


def recipe(kind: str, folder: Path, **changes: Any) -> Recipe:
    execution = {"per_device_batch": 8, "chunk": 8, "device": "cpu", "cache": str(folder / "features")}
    return Recipe("test", "", (), {"image_size": 64, "crop_pct": 1.0, **GRIDS[kind], **changes}, execution)


def run(kind: str, backbone: Backbone, root: Path, folder: Path, **changes: Any) -> tuple[dict[str, float], Context]:
    folder.mkdir(exist_ok=True)
    context = Context(folder, root, seed=5)
    metrics = TASKS[kind].run(backbone, recipe(kind, folder.parent, **changes), context)
    return metrics, context


def selection(context: Context) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((context.folder / context.artifacts["selection"]).read_text())
    return content


@pytest.mark.parametrize("kind", TASKS)
def test_metrics_are_those_that_the_tasks_file_names(kind: str, backbone: Backbone, root: Path, tmp_path: Path) -> None:
    metrics, context = run(kind, backbone, root, tmp_path / "run")
    TASKS[kind].spec.check_metrics(metrics)
    assert context.throughput
    table = pd.read_csv(tmp_path / "run" / "per_sample.csv")
    assert 100 * table["top1"].mean() == pytest.approx(metrics["top1"])


@pytest.mark.parametrize("kind", ["logistic", "linear"])
def test_the_choice_does_not_see_the_validation_images(
    kind: str, backbone: Backbone, root: Path, tmp_path: Path
) -> None:
    """Their labels become noise, and all but the final score stays."""
    metrics, context = run(kind, backbone, root, tmp_path / "true")
    noisy = tmp_path / "noisy" / "imagenet"
    shutil.copytree(root, noisy)
    files = sorted((noisy / "val").rglob("*.png"))
    folders = [path.parent for path in files]
    for number, place in enumerate(np.random.default_rng(0).permutation(len(files))):
        files[number].rename(folders[place] / f"other-{files[number].name}")
    of_noise, other = run(kind, backbone, noisy, tmp_path / "of_noise")
    assert selection(other) == selection(context)
    scored = {"top1", "top5"}
    assert {k: v for k, v in of_noise.items() if k not in scored} == {
        k: v for k, v in metrics.items() if k not in scored
    }
    assert of_noise["top1"] != metrics["top1"]


def test_the_record_names_the_list_of_held_out_images(backbone: Backbone, root: Path, tmp_path: Path) -> None:
    _, context = run("logistic", backbone, root, tmp_path / "run")
    split = hold_out(READERS["imagenet"]().read(root, "train"), 10)
    assert context.artifacts["selection"] == f"selection-{split.sha256[:10]}.json"
    assert selection(context)["chosen"] in selection(context)["grid"]


def test_features_are_computed_once_for_all_probes(
    backbone: Backbone, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("knn", backbone, root, tmp_path / "knn")
    monkeypatch.setattr(Extractor, "_compute", None)
    run("linear", backbone, root, tmp_path / "linear")


def caches(backbone: Backbone, images: LabelledImages, folder: Path, **changes: Any) -> str:
    protocol = replace(FrozenProtocol(image_size=64), **changes)
    world = World(0, 1, torch.device("cpu"))
    return Extractor(backbone, protocol, FrozenExecution(), "fp32", folder, world).cache_of(images).path.name


def test_another_image_transform_or_weight_is_another_cache(backbone: Backbone, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "imagenet"
    shutil.copytree(root, copy)
    images = READERS["imagenet"]().read(copy, "train")
    names = [caches(backbone, images, tmp_path)]
    assert caches(backbone, READERS["imagenet"]().read(copy, "train"), tmp_path) == names[0]
    names += [caches(backbone, images, tmp_path, crop_pct=0.5), caches(backbone, images, tmp_path, dtype="fp16")]
    names += [caches(Backbone.load("random:vit_demo", seed=4), images, tmp_path)]
    changed = copy / images.files[7]
    changed.write_bytes(changed.read_bytes() + b"\0")
    names += [caches(backbone, READERS["imagenet"]().read(copy, "train"), tmp_path)]
    assert len(set(names)) == 5


def test_a_cache_of_other_images_has_other_features(backbone: Backbone, root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "imagenet"
    shutil.copytree(root, copy)
    changed = copy / READERS["imagenet"]().read(copy, "train").files[7]
    changed.write_bytes(changed.read_bytes() + b"\0")
    names = []
    for number, source in enumerate((root, copy, root)):
        cache = tmp_path / f"cache-{number}"
        Staging(source, cache, Form("jpeg", 400), processes=0).run()
        names.append(caches(backbone, READERS["imagenet"]().read(cache, "train"), tmp_path))
    assert names[0] == names[2] != names[1]


def test_what_a_backbone_does_not_have_is_left_out_or_refused(backbone: Backbone, root: Path, tmp_path: Path) -> None:
    weights = {name: value for name, value in backbone.state_dict().items() if not name.startswith("norm.")}
    spec = replace(backbone.spec, final_norm=False, missing=("norm.weight", "norm.bias"))
    bare = Backbone(weights, spec)
    run("knn", bare, root, tmp_path / "bare")
    with pytest.raises(UserError, match=r"^[^\n]*no final norm[^\n]*take the task whose name ends in @raw or @zscore$"):
        run("knn", bare, root, tmp_path / "bare", point="norm")
    with pytest.raises(UserError, match="no features norm token"):
        run("logistic", bare, root, tmp_path / "norm", point="norm", tokens=["token"])
    with pytest.raises(UserError, match="smaller k"):
        run("knn", bare, root, tmp_path / "many", k=50)


def test_held_out_images_do_not_depend_on_the_order_and_leave_half_of_a_class(root: Path) -> None:
    images = READERS["imagenet"]().read(root, "train")
    split = hold_out(images, 3)
    counts = np.bincount(images.labels[split.held_out.numpy()], minlength=6)
    assert counts.tolist() == np.minimum(3, np.bincount(images.labels, minlength=6) // 2).tolist()
    assert sorted([*split.fitted.tolist(), *split.held_out.tolist()]) == list(range(len(images)))
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = replace(images, files=tuple(images.files[i] for i in order), labels=images.labels[order])
    assert hold_out(shuffled, 3).sha256 == split.sha256


def test_what_diverged_is_never_chosen() -> None:
    assert choose([float("nan"), 3.0, 5.0, 5.0]) == 2
    with pytest.raises(UserError, match="diverged"):
        choose([float("nan")])


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("logistic", {"c": [1.0, 0.1]}, "does not rise"),
        ("linear", {"lr": []}, "lr"),
        ("knn", {"neighbours": 3}, "unknown neighbours"),
    ],
)
def test_impossible_recipes_are_refused(kind: str, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        TASKS[kind].check_recipe(recipe(kind, tmp_path, **change))


@pytest.mark.slow
def test_two_processes_end_with_the_numbers_and_bytes_of_one(root: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "support" / "torchrun" / "probe_frozen.py"
    metrics, features = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes) / "run"
        folder.mkdir(parents=True)
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        words = [str(script), str(root), str(folder), json.dumps(asdict(recipe("logistic", folder.parent)))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*launcher, *words], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        metrics.append((folder / "metrics.json").read_text())
        files = sorted((folder.parent / "features").rglob("*.*"))
        features.append({file.name + file.parent.name: file.read_bytes() for file in files if file.is_file()})
    assert metrics[0] == metrics[1]
    assert len(features[0]) == 4
    assert features[0] == features[1]


def test_few_images_of_each_class_are_the_same_for_one_seed(root: Path) -> None:
    images = READERS["imagenet"]().read(root, "train")
    first = few(images, FrozenProtocol(per_class=3), 0)
    assert np.bincount(first.labels, minlength=6).max() == 3
    assert few(images, FrozenProtocol(per_class=3), 0).files == first.files
    assert few(images, FrozenProtocol(per_class=3), 1).files != first.files


def test_a_published_list_is_followed_and_known_by_its_digest(backbone: Backbone, root: Path, tmp_path: Path) -> None:
    own = tmp_path / "imagenet"
    shutil.copytree(root, own)
    images = READERS["imagenet"]().read(own, "train")
    names = [Path(file).name for file in images.files[::2]]
    (own / "1percent.txt").write_text("\n".join(reversed(names)) + "\n")
    digest = hashlib.sha256((own / "1percent.txt").read_bytes()).hexdigest()
    chosen = few(images, FrozenProtocol(train_list="1percent.txt", train_list_sha256=digest[:12]), 0)
    assert chosen.files == images.files[::2]
    _, context = run("logistic", backbone, own, tmp_path / "run", train_list="1percent.txt", held_out_per_class=2)
    assert selection(context)["train"] == len(names)
    with pytest.raises(UserError, match=r"has the SHA-256 .* published is 71e82a48ba78"):
        few(images, FrozenProtocol(train_list="1percent.txt", train_list_sha256="71e82a48ba78"), 0)
    (own / "1percent.txt").write_text("n01440764_1.JPEG\n")
    with pytest.raises(UserError, match=r"names 1 images that are not there \(n01440764_1.JPEG"):
        few(images, FrozenProtocol(train_list="1percent.txt"), 0)
    with pytest.raises(UserError, match=r"10percent.txt does not exist"):
        few(images, FrozenProtocol(train_list="10percent.txt"), 0)


def test_variants_of_nearest_neighbours_differ_in_what_their_names_say_alone(
    backbone: Backbone, root: Path, tmp_path: Path
) -> None:
    protocols = {name: recipe_of(SPECS[f"imagenet_knn@{name}"], "full").protocol for name in ("dino", "raw", "zscore")}
    assert protocols["raw"] == {**protocols["dino"], "point": "raw"}
    assert protocols["zscore"] == {**protocols["raw"], "standardise": True, "k": 10}
    reader, views = READERS["imagenet"](), {}
    run("knn", backbone, root, tmp_path / "run")
    world = World(0, 1, torch.device("cpu"))
    extractor = Extractor(
        backbone, FrozenProtocol(image_size=64, crop_pct=1.0), FrozenExecution(), "fp32", tmp_path / "features", world
    )
    for split in ("train", "val"):
        views[split] = extractor.extract(reader.read(root, split), lambda images: None)
    labels = {split: reader.read(root, split).labels for split in views}
    for point, standardise in (("raw", False), ("norm", False), ("raw", True)):
        bank, queries = (views[split].rows(f"{point} token").double().numpy() for split in ("train", "val"))
        if standardise:
            bank, queries = ((part - bank.mean(0)) / np.sqrt(bank.var(0) + 1e-6) for part in (bank, queries))
        near = (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (bank / np.linalg.norm(bank, axis=1)[:, None]).T
        votes = np.zeros((len(near), 6))
        for query, similarities in enumerate(near):
            for place in np.argsort(-similarities)[:5]:
                votes[query, labels["train"][place]] += np.exp(similarities[place] / 0.07)
        expected = 100 * (votes.argmax(1) == labels["val"]).mean()
        found = run("knn", backbone, root, tmp_path / "run", point=point, standardise=standardise)[0]["top1"]
        assert found == pytest.approx(expected, abs=1e-6)
