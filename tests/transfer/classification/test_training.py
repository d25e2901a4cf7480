"""Fine-tuning and linear probing on the real engine."""

import os
import shutil
import signal
import socket
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform
from torch.multiprocessing.spawn import start_processes

from crossmae.backbone import Backbone
from crossmae.data.keyed import SampleKey
from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from crossmae.run.stop import Stopped
from crossmae.train.checkpoint.state_file import states
from crossmae.weights.options import IMAGENET_MEAN, IMAGENET_STD
from tests.support.labelled_images import task, write_imagenet
from transfer.classification.accuracy import label_rank, top_k
from transfer.classification.finetune import layer_decay_groups
from transfer.classification.images import TrainImages
from transfer.classification.job import make_job
from transfer.classification.recipe import Augmentation
from transfer.classification.transforms import evaluation_transform, normalize, training_transform
from transfer.datasets.layouts import READERS
from transfer.task import Context

FINETUNE: dict[str, Any] = {
    "method": "finetune",
    "image_size": 64,
    "steps": 6,
    "global_batch": 16,
    "base_lr": 0.01,
    "crop_pct": 1.0,
    "drop_path": 0.2,
}
LINEAR: dict[str, Any] = {"method": "linear", "image_size": 64, "steps": 6, "global_batch": 16, "base_lr": 10.0}


def recipe(protocol: dict[str, Any], **execution: Any) -> Recipe:
    values = {"per_device_batch": 16, "device": "cpu", "log_every": 1, "checkpoint_every": 2, **execution}
    return Recipe("a_recipe", "a test", (), protocol, values)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo ImageNet of 48 training and 50 validation images."""
    folder = tmp_path_factory.mktemp("data") / "imagenet"
    write_imagenet(folder)
    return folder


def run(folder: Path, root: Path, backbone: Backbone, protocol: dict[str, Any], **execution: Any) -> dict[str, float]:
    folder.mkdir(exist_ok=True)
    context = Context(folder=folder, data_root=root, seed=5)
    return task("imagenet").run(backbone, recipe(protocol, **execution), context)


@pytest.mark.parametrize("protocol", [FINETUNE, LINEAR], ids=["finetune", "linear"])
def test_run_learns_and_reports(protocol: dict[str, Any], tmp_path: Path, root: Path, tiny_backbone: Backbone) -> None:
    metrics = run(tmp_path / "run", root, tiny_backbone, protocol, evaluate_every_epochs=1)
    table = pd.read_csv(tmp_path / "run" / "per_sample.csv")
    assert len(table) == 50
    assert metrics["top1"] == pytest.approx(100 * table.top1.mean())
    assert metrics["top5"] == pytest.approx(100 * table.top5.mean())
    assert (table.top1 == (table.prediction == table.label)).all()
    assert metrics["top1_best"] >= metrics["top1"]
    assert table["sample"].iloc[0].startswith("val/ankle boot/")


@pytest.mark.parametrize(("protocol", "stop_at"), [(FINETUNE, 1), (FINETUNE, 3), (FINETUNE, 5), (LINEAR, 3)])
def test_interrupted_run_ends_bit_identical(
    protocol: dict[str, Any], stop_at: int, tmp_path: Path, root: Path, tiny_backbone: Backbone
) -> None:
    whole = run(tmp_path / "whole", root, tiny_backbone, protocol)
    with pytest.raises(Stopped):
        interrupt(tmp_path / "broken", root, tiny_backbone, protocol, stop_at)
    assert run(tmp_path / "broken", root, tiny_backbone, protocol) == whole
    tables = [(tmp_path / name / "per_sample.csv").read_bytes() for name in ("whole", "broken")]
    assert tables[0] == tables[1]
    assert last_weights(tmp_path / "whole") == last_weights(tmp_path / "broken")


def interrupt(folder: Path, root: Path, backbone: Backbone, protocol: dict[str, Any], step: int) -> None:
    """Runs until SIGTERM arrives while the line of update ``step`` is reported."""

    class Impatient(Context):
        def progress(self, at: int, total: int, metrics: Mapping[str, float]) -> None:
            if at == step:
                os.kill(os.getpid(), signal.SIGTERM)

    folder.mkdir()
    context = Impatient(folder=folder, data_root=root, seed=5)
    task("imagenet").run(backbone, recipe(protocol), context)


@pytest.mark.parametrize("protocol", [FINETUNE, LINEAR], ids=["finetune", "linear"])
def test_finished_classifier_gives_what_training_reported(
    protocol: dict[str, Any], tmp_path: Path, root: Path, tiny_backbone: Backbone
) -> None:
    reported = run(tmp_path / "run", root, tiny_backbone, protocol)
    ours = tmp_path / "run" / "classifier.safetensors"
    released = tmp_path / "released.pth"
    torch.save({"model": load_file(ours), "epoch": 99, "args": Namespace(model="vit_demo")}, released)
    for path in (ours, released):
        found = task("imagenet").evaluate(path, recipe(protocol), Context(folder=tmp_path, data_root=root, seed=0))
        assert found == {name: value for name, value in reported.items() if name != "top1_best"}


def test_weights_that_are_no_classifier_are_refused(tmp_path: Path, root: Path, tiny_backbone: Backbone) -> None:
    context = Context(folder=tmp_path, data_root=root, seed=0)
    save_file(tiny_backbone.state_dict(), tmp_path / "backbone.safetensors")
    with pytest.raises(UserError, match="no classifier"):
        task("imagenet").evaluate(tmp_path / "backbone.safetensors", recipe(FINETUNE), context)
    save_file(tiny_backbone.to_timm(1000).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"head.weight \(1000, 128\) for \(6, 128\)"):
        task("imagenet").evaluate(tmp_path / "other.safetensors", recipe(FINETUNE), context)


def last_weights(folder: Path) -> dict[str, bytes]:
    state = states(folder / "state")[0].load()
    assert state is not None
    return {name: tensor.numpy().tobytes() for name, tensor in state["model"].items()}


@pytest.mark.parametrize("change", [{"mixup": 0.0}, {"steps": 7}])
def test_folder_of_another_recipe_is_refused(
    change: dict[str, Any], tmp_path: Path, root: Path, tiny_backbone: Backbone
) -> None:
    run(tmp_path, root, tiny_backbone, {**FINETUNE, "steps": 1})
    with pytest.raises(UserError):
        run(tmp_path, root, tiny_backbone, {**FINETUNE, **change})


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({**FINETUNE, "methd": 1}, "unknown methd"),
        ({**FINETUNE, "method": "guess"}, "unknown method 'guess'"),
        ({"method": "linear"}, "lacks global_batch"),
        ({**FINETUNE, "augmentation": {"colour": 1}}, r"unknown augmentation\.colour"),
    ],
)
def test_wrong_recipe_is_one_line(
    protocol: dict[str, Any], message: str, tmp_path: Path, root: Path, tiny_backbone: Backbone
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path, root, tiny_backbone, protocol)


@pytest.mark.parametrize("size", [64, 96])
@pytest.mark.parametrize("final_norm", [True, False], ids=["MAE", "CrossMAE"])
def test_backbone_weights_arrive(size: int, final_norm: bool, root: Path, tiny_backbone: Backbone) -> None:
    """Features of the very models that are trained equal those of timm's plain ViT with the same weights."""
    weights = {name: 1.1 * weight + 0.01 for name, weight in tiny_backbone.state_dict().items()}
    backbone = Backbone(weights, tiny_backbone.spec) if final_norm else without_norm(tiny_backbone)
    plain = backbone.to_timm(0, image_size=size, global_pool="token", expected_missing=backbone.spec.missing).eval()
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    probe = workload({**LINEAR, "image_size": size}, root, backbone).model().eval()
    if not final_norm:
        plain.norm = torch.nn.Identity()
    assert torch.allclose(probe.vit.forward_features(images), plain.forward_features(images), atol=1e-4)
    plain.norm = torch.nn.Identity()
    classifier = workload({**FINETUNE, "image_size": size}, root, backbone).model().eval()
    assert torch.allclose(classifier.forward_features(images), plain.forward_features(images), atol=1e-4)


def without_norm(backbone: Backbone) -> Backbone:
    """As CrossMAE's released weights are."""
    norm = ("norm.weight", "norm.bias")
    weights = {name: weight for name, weight in backbone.state_dict().items() if name not in norm}
    return Backbone(weights, replace(backbone.spec, final_norm=False, missing=norm))


def test_linear_probe_leaves_the_backbone_alone(tmp_path: Path, root: Path, tiny_backbone: Backbone) -> None:
    run(tmp_path, root, tiny_backbone, LINEAR)
    trained = last_weights(tmp_path)
    for name, weight in tiny_backbone.state_dict().items():
        if not name.startswith("norm."):
            assert trained[f"vit.{name}"] == weight.numpy().tobytes()


def test_probe_of_a_backbone_without_class_token_says_what_to_do(root: Path) -> None:
    backbone = Backbone.load("random:vit_demo")
    weights = {name: weight for name, weight in backbone.state_dict().items() if name != "cls_token"}
    weights["pos_embed"] = weights["pos_embed"][:, 1:]
    bare = Backbone(weights, replace(backbone.spec, class_token=False))
    with pytest.raises(UserError, match="no class token; use pooling=avg"):
        workload(LINEAR, root, bare)
    assert workload({**LINEAR, "pooling": "avg"}, root, bare).model()(torch.zeros(2, 3, 64, 64)).shape == (1, 2, 6)


def workload(protocol: dict[str, Any], root: Path, backbone: Backbone) -> Any:
    train, val = READERS["imagenet"]().read_both(root)
    context = Context(folder=root, data_root=root, seed=5)
    return make_job(backbone, recipe(protocol), train, val, context).workload


def test_images_that_patches_do_not_cover_are_refused(root: Path, tiny_backbone: Backbone) -> None:
    complaint = "image_size 60 is no multiple of random:vit_demo's patches of 8 pixels; set image_size to 56 or 64"
    with pytest.raises(UserError, match=complaint):
        workload({**FINETUNE, "image_size": 60}, root, tiny_backbone)


def test_layer_decay_of_every_parameter(tiny_backbone: Backbone) -> None:
    model = tiny_backbone.to_timm(6)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scale, decay = {}, {}
    for group in layer_decay_groups(model, 0.05, 0.5):
        for parameter in group["params"]:
            scale[names[id(parameter)]] = group["lr_scale"]
            decay[names[id(parameter)]] = group["weight_decay"]
    assert set(scale) == set(names.values())
    assert {scale[name] for name in ("head.weight", "head.bias", "fc_norm.weight")} == {1.0}
    assert [scale[f"blocks.{i}.attn.qkv.weight"] for i in range(4)] == [0.5**4, 0.5**3, 0.5**2, 0.5]
    assert {scale[name] for name in ("cls_token", "pos_embed", "patch_embed.proj.weight")} == {0.5**5}
    assert {name for name, value in decay.items() if value} == {
        name for name in names.values() if name.endswith("weight") and "norm" not in name
    }


def test_a_final_norm_before_the_head_learns_as_fast_as_the_head(tiny_backbone: Backbone) -> None:
    """As in MAE's code, where whatever is neither stem nor block belongs to the head's layer."""
    model = tiny_backbone.to_timm(6, global_pool="token")
    groups = layer_decay_groups(model, 0.05, 0.5)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    (group,) = (group for group in groups if any(p is model.norm.weight for p in group["params"]))
    assert any(p is model.norm.bias for p in group["params"])
    assert (group["lr_scale"], group["weight_decay"]) == (1.0, 0.0)


def test_top_k_against_a_hand_count() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.3, 0.3], [0.5, 0.2, 0.5, 0.0], [3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    ranks = label_rank(scores, torch.tensor([1, 2, 3, 0]))
    assert ranks.tolist() == [0, 1, 3, 0]
    outcomes = {"rank": ranks, "prediction": scores.argmax(1)}
    assert (top_k(outcomes, 1), top_k(outcomes, 2), top_k(outcomes, 4)) == (50.0, 75.0, 100.0)


def test_augmentation_depends_on_seed_epoch_and_sample_alone(root: Path) -> None:
    train, _ = READERS["imagenet"]().read_both(root)
    transform = training_transform(Augmentation(), 64)
    first, again, other = (TrainImages(train, transform, seed, keep=False) for seed in (1, 1, 2))
    keys = [SampleKey(epoch, index) for epoch in (0, 1) for index in (3, 4)]
    images = [first[key][0] for key in keys]
    assert all(torch.equal(again[key][0], image) for key, image in reversed(list(zip(keys, images, strict=True))))
    assert len({image.numpy().tobytes() for image in [*images, other[keys[0]][0]]}) == 5


def test_pixels_that_are_normalised_on_the_device_are_those_of_timm_s_own_transform(root: Path) -> None:
    train, _ = READERS["imagenet"]().read_both(root)
    augmentation = Augmentation(random_erasing=0.0)
    whole = create_transform(
        64, is_training=True, scale=augmentation.scale, hflip=augmentation.flip, color_jitter=None,
        auto_augment=augmentation.rand_augment, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD,
    )  # fmt: skip
    images = [
        torch.stack([TrainImages(train, transform, 1, keep=False)[SampleKey(0, index)][0] for index in range(8)])
        for transform in (training_transform(augmentation, 64), whole)
    ]
    assert images[0].dtype is torch.uint8
    assert torch.equal(normalize(images[0], IMAGENET_MEAN, IMAGENET_STD), images[1])
    erased = TrainImages(train, training_transform(Augmentation(random_erasing=1.0), 64), 1, keep=False)
    assert erased[SampleKey(0, 0)][0].dtype is torch.float32


def evaluate_share(rank: int, world: int, root: Path, port: int, out: str) -> None:
    """One process of an evaluation by several."""
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=world, rank=rank)
    job = workload(FINETUNE, root, Backbone.load("random:vit_demo", seed=3))
    torch.manual_seed(0)
    outcomes = job.predict(job.model().eval())[0]
    Path(out).with_suffix(f".{rank}").write_bytes(torch.cat(list(outcomes.values())).numpy().tobytes())
    torch.distributed.destroy_process_group()


def test_two_processes_evaluate_as_one(tmp_path: Path, root: Path) -> None:
    """51 images over 2 processes: none is left out, none counts twice."""
    files = sorted((root / "val").rglob("*.png"))
    odd = tmp_path / "data"
    shutil.copytree(root, odd)
    shutil.copy(files[0], odd / "val" / "ankle boot" / "extra.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    evaluate_share(0, 1, odd, port, str(tmp_path / "one.0"))
    start_processes(evaluate_share, args=(2, odd, port, str(tmp_path / "two.0")), nprocs=2, start_method="fork")
    one, two = ((tmp_path / f"{name}.0").read_bytes() for name in ("one", "two"))
    assert len(one) == 2 * 51 * 8
    assert one == two == (tmp_path / "two.1").read_bytes()


def test_evaluation_crop_follows_the_released_code() -> None:
    """Resize to 256, crop 224; above 224 pixels no margin."""
    picture = Image.fromarray(np.arange(256 * 256 * 3, dtype=np.uint32).astype(np.uint8).reshape(256, 256, 3))
    assert evaluation_transform(224, 0.875)(picture).shape == (3, 224, 224)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (torch.tensor(np.asarray(picture)[16, 16]) / 255 - mean) / std
    assert torch.allclose(evaluation_transform(224, 0.875)(picture)[:, 0, 0], expected, atol=1e-6)


RECIPES = Path(str(files("transfer.classification"))) / "recipes"


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_every_recipe_is_complete(name: str, root: Path) -> None:
    read = load_recipe(RECIPES, name)
    assert read.source
    if "inat19" in name or "places365" in name:
        assert "ever published" in read.source or "demo" in name
    train, val = READERS["imagenet"]().read_both(root)
    backbone = Backbone.load("random:vit_demo")
    make_job(backbone, read, train, val, Context(folder=root, data_root=root, seed=0))
