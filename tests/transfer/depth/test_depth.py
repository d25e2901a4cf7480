"""Linear depth: metrics and loss by hand, the layout of its data, and a probe that learns."""

import math
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from crossmae.backbone import Backbone
from crossmae.data.demo.scenes import SceneSource
from crossmae.data.keyed import SampleKey
from crossmae.errors import UserError
from crossmae.recipe import Recipe
from crossmae.run.progress import ProgressFile
from transfer.depth.nyu import departures, fingerprint_of_nyu, pairs_of, problems, read_depth, write_demo
from transfer.depth.probe import DepthProbe, score, silog
from transfer.depth.recipe import DepthProtocol, read_recipe
from transfer.depth.task import DepthTask
from transfer.depth.training import DepthWorkload, augmented
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.task import Context

SPECS = {name: spec for name, spec in load_specs().items() if spec.recipes == "transfer.depth"}
TASK = DepthTask(SPECS["nyu_depth_linear@dinov2"])


def recipe(variant: str, *overrides: str) -> Recipe:
    small = ("global_batch=4", "steps=24", "warmup_steps=2", "mean_only_steps=1")
    return recipe_of(SPECS[f"nyu_depth_linear@{variant}"], "demo", (*small, "log_every=1", *overrides))


def protocol(variant: str = "dinov2", *overrides: str) -> DepthProtocol:
    return read_recipe(recipe(variant, *overrides)).protocol


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "nyu"
    write_demo(folder, SceneSource(0), {"train": 12, "test": 5})
    return folder


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return Backbone.load("random:vit_demo", seed=0)


def normless(backbone: Backbone) -> Backbone:
    weights = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith("norm.")}
    return Backbone(weights, replace(backbone.spec, final_norm=False))


def test_metrics_of_an_image_are_those_computed_by_hand() -> None:
    prediction, depth = torch.ones(480, 640), torch.zeros(480, 640)
    # Depth, prediction; errors 1, 0, 1 and, after the prediction was cut to 10 m, 5; ratios 1.5, 1, 1.125 and 2.
    for place, (truth, guess) in enumerate([(2.0, 3.0), (4.0, 4.0), (8.0, 9.0), (5.0, 100.0)]):
        depth[45, 41 + place], prediction[45, 41 + place] = truth, guess
    depth[44, 300] = depth[471, 300] = depth[300, 40] = depth[300, 601] = 9.0  # just outside Eigen's crop
    depth[100, 100], depth[100, 101] = 10.0, 0.001  # not within the depths that are scored
    rmse, abs_rel, delta1 = score(prediction, depth, protocol()).tolist()
    assert rmse == pytest.approx(math.sqrt((1 + 0 + 1 + 25) / 4))
    assert abs_rel == pytest.approx((0.5 + 0 + 0.125 + 1) / 4)
    assert delta1 == pytest.approx(50.0)


def test_the_loss_is_that_computed_by_hand() -> None:
    # Logarithmic errors of 1 and 3: their mean is 2, their variance 2. The third pixel is unknown.
    depth = torch.tensor([[[1 - 0.001, 1 - 0.001, 0.0]]])
    prediction = torch.tensor([[[math.e - 0.001, math.e**3 - 0.001, 5.0]]])
    assert silog(prediction, depth, torch.tensor(1.0)).item() == pytest.approx(math.sqrt(2 + 0.15 * 4), rel=1e-5)
    assert silog(prediction, depth, torch.tensor(0.0)).item() == pytest.approx(math.sqrt(0.15 * 4), rel=1e-5)
    assert silog(prediction, torch.zeros(1, 1, 3), torch.tensor(1.0)).item() == 0.0


def test_depth_is_the_mean_of_the_bins_by_their_logits(backbone: Backbone) -> None:
    probe = DepthProbe(backbone, replace(protocol(), bins=3, depth=(1.0, 9.0)))
    assert probe.classifier.bias is not None
    with torch.no_grad():
        probe.classifier.weight.zero_()
        probe.classifier.bias.copy_(torch.tensor([0.0, 1.0, -5.0]))
    depth = probe(torch.randn(2, 3, 52, 60))
    assert depth.shape == (2, 52, 60)
    torch.testing.assert_close(depth, torch.full_like(depth, (0.1 * 1 + 1.1 * 5 + 0.1 * 9) / 1.3))


def test_the_variance_counts_after_the_first_updates(root: Path, backbone: Backbone) -> None:
    values = protocol("dinov2", "mean_only_steps=2")
    pairs = {split: pairs_of(root, split) for split in ("train", "test")}
    workload = DepthWorkload(backbone, values, pairs, 0, "")
    model, batch = workload.model(), (torch.randn(4, 3, 48, 48), torch.rand(4, 48, 48) + 1)
    prediction = model(batch[0])
    for update in range(3):
        weight = torch.tensor(float(update == 2))
        expected = [silog(prediction[i : i + 2], batch[1][i : i + 2], weight).item() for i in (0, 2)]
        assert workload.loss(model, batch).item() == pytest.approx(sum(expected) / 2)
    assert model.state_dict()["images"] == 12


def test_a_run_learns_and_scores_each_image_by_itself(root: Path, backbone: Backbone, tmp_path: Path) -> None:
    context = Context(tmp_path, root, seed=0)
    metrics = TASK.run(normless(backbone), recipe("dinov2"), context)
    TASK.spec.check_metrics(metrics)
    losses = [line["loss"] for line in ProgressFile(tmp_path).read() if "loss" in line]
    assert sum(losses[-3:]) < 0.8 * sum(losses[1:4])
    table = pd.read_csv(tmp_path / "per_sample.csv")
    assert len(table) == 5
    assert metrics == pytest.approx({name: table[name].mean() for name in metrics})
    assert not context.deviations


def test_features_after_a_norm_that_is_not_there_are_refused(root: Path, backbone: Backbone, tmp_path: Path) -> None:
    task = DepthTask(SPECS["nyu_depth_linear@dinov3"])
    with pytest.raises(UserError, match=r"^[^\n]*no final norm[^\n]*take nyu_depth_linear@dinov2"):
        task.run(normless(backbone), recipe("dinov3"), Context(tmp_path, root, seed=0))
    context = Context(tmp_path, root, seed=0)
    task.spec.check_metrics(task.run(backbone, recipe("dinov3", "steps=2", "per_device_batch=2"), context))
    assert context.deviations == ["batch norm over 2 images, not over 4"]


def test_a_sample_is_a_function_of_its_key(root: Path, backbone: Backbone) -> None:
    pairs = {split: pairs_of(root, split) for split in ("train", "test")}
    data = [DepthWorkload(backbone, protocol(), pairs, 0, "").dataset() for _ in range(2)]
    keys = [SampleKey(epoch, index) for epoch in range(6) for index in range(2)]
    first, again = [data[0][key] for key in keys], [data[1][key] for key in reversed(keys)][::-1]
    for (image, depth), (other_image, other_depth) in zip(first, again, strict=True):
        assert image.shape == (3, 48, 48)
        assert depth.shape == (48, 48)
        assert torch.equal(image, other_image)
        assert torch.equal(depth, other_depth)
    assert len({float(image.sum()) for image, _ in first}) == len(keys)


def test_both_layouts_are_read_and_name_the_same_images(root: Path, tmp_path: Path) -> None:
    assert not list(problems(root))
    assert not list(departures(root))
    depth = read_depth(pairs_of(root, "train")[0])
    assert sorted(np.unique(depth).tolist())[0] == 0.0
    assert np.median(depth[depth > 0]) > 1
    for split, folder in (("train", "sync"), ("test", "official_splits/test")):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        (tmp_path / folder).symlink_to(root)
        lines = (root / f"nyu_{split}.txt").read_text().replace("/" + split, split)
        (tmp_path / f"nyudepthv2_{split}_files_with_gt.txt").write_text(lines)
        assert [pair.name for pair in pairs_of(tmp_path, split)] == [pair.name for pair in pairs_of(root, split)]
    assert not list(problems(tmp_path))
    found = list(departures(tmp_path))
    assert found[1] == "5 test images (NYU Depth v2 as BTS has it: 654)"


def _without_lists(root: Path) -> None:
    (root / "nyu_train.txt").unlink()


def _list(line: str, root: Path) -> None:
    (root / "nyu_train.txt").write_text(line)


def _eight_bits(root: Path) -> None:
    path = pairs_of(root, "train")[0].depth
    Image.fromarray(np.full((64, 64), 7, np.uint8)).save(path)


def _metres(root: Path) -> None:
    path = pairs_of(root, "train")[0].depth
    Image.fromarray(np.full((64, 64), 7, np.uint16)).save(path)


def _other_size(root: Path) -> None:
    path = pairs_of(root, "train")[0].depth
    Image.fromarray(np.full((32, 64), 700, np.uint16)).save(path)


def _absent(root: Path) -> None:
    pairs_of(root, "train")[0].image.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_without_lists, "has no nyu_train.txt or nyudepthv2_train_files_with_gt.txt"),
        (partial(_list, "/../../etc/passwd.png /a.png 1"), "names no pair; its lines are like"),
        (partial(_list, "rgb.jpg\n"), "names no pair"),
        (partial(_list, "a.jpg None 1\n"), "names no pair"),
        (partial(_list, "\n"), "names no images"),
        (_eight_bits, "8-bit pixels, not millimetres"),
        (_metres, "median of 7: no millimetres"),
        (_other_size, "is 32 x 64, its image 64 x 64"),
        (_absent, r"train: 1 files are not there, such as .*rgb_00000.png"),
    ],
)
def test_what_is_wrong_with_the_data_is_one_line(harm: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    root = tmp_path / "nyu"
    write_demo(root, SceneSource(0), {"train": 2, "test": 1})
    before = fingerprint_of_nyu(root)
    assert fingerprint_of_nyu(root) == before
    harm(root)
    (problem,) = problems(root)
    assert re.search(message, str(problem)), problem
    assert "\n" not in str(problem)


def test_variants_have_the_values_of_their_sources() -> None:
    values = {
        name: read_recipe(recipe_of(SPECS[f"nyu_depth_linear@{name}"], "full")).protocol
        for name in ("dinov2", "dinov3")
    }
    one, other = asdict(values["dinov2"]), asdict(values["dinov3"])
    assert {name for name in one if one[name] != other[name]} == {
        *("point", "class_token", "upsample", "batch_norm", "initial_std", "lr", "betas", "weight_decay")
    }
    with pytest.raises(UserError, match="train_box of recipe"):
        TASK.check_recipe(recipe("dinov2", "train_box=[45, 500, 43, 608]"))


def test_depth_is_turned_mirrored_and_cropped_with_its_image() -> None:
    values = replace(protocol(), rotation=0.0, gamma=(1.0, 1.0), brightness=(1.0, 1.0), colour=(1.0, 1.0))
    depth = torch.rand(56, 60)
    seen = set()
    for seed in range(12):
        torch.manual_seed(seed)
        image, turned = augmented((200 * depth).expand(3, -1, -1), depth, values)
        # Turned by 0 degrees, the image is interpolated all the same.
        torch.testing.assert_close(image, (200 * turned).expand(3, -1, -1), rtol=0, atol=0.01)
        seen.add(float(turned[0, 0]))
    assert len(seen) > 6
    with pytest.raises(UserError, match="40 x 60 pixels are left of it for a crop of 48 x 48"):
        augmented(torch.zeros(3, 40, 60), torch.zeros(40, 60), values)
