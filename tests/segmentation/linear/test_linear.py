"""The linear probe: a frozen backbone, DINOv2's schedule, mmsegmentation's numbers."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.recipe import Recipe, load_recipe
from crossmae.run.progress import ProgressFile
from crossmae.wrapped.spec import written
from segmentation.data.reader import Loaders
from segmentation.data.sets import SETS
from segmentation.linear import run
from segmentation.linear.config import configure, linear
from segmentation.linear.model import FrozenMap
from segmentation.linear.recipe import read_recipe
from segmentation.linear.task import LinearSegmentationTask
from tests.support.families import FAMILIES, backbone_of
from transfer.harness.plan.tasks import load_specs
from transfer.task import Context

RECIPES = Path(run.__file__).parent / "recipes"
SPECS = {name: spec for name, spec in load_specs().items() if spec.recipes == "segmentation.linear"}
LOADERS = Loaders({}, {}, tuple("abcde"), keep_zero=False)

Contexts = Callable[[Path], Context]


def recipe(name: str, *overrides: str) -> Recipe:
    small = ("global_batch=4", "steps=12", "warmup_steps=2", "log_every=1", "evaluate_every=1000")
    return load_recipe(RECIPES, name, [*small, *overrides])


def model_of(backbone: Backbone, *overrides: str) -> Any:
    init_default_scope("mmseg")
    config = linear(read_recipe(recipe("ade20k_linear@raw_demo", *overrides)).protocol, backbone.about, LOADERS)
    config.model.decode_head.norm_cfg.type = "BN"
    model = MODELS.build(config.model)
    model.backbone.load_backbone(backbone)
    return model


def normless(backbone: Backbone) -> Backbone:
    """A backbone such as CrossMAE's, which has no final norm."""
    weights = {name: tensor for name, tensor in backbone.state_dict().items() if not name.startswith("norm.")}
    return Backbone(weights, replace(backbone.spec, final_norm=False))


@pytest.mark.slow
def test_images_with_masks_of_ones_own_give_the_numbers_of_the_published_layout(
    tmp_path: Path, backbone: Backbone, context_in: Contexts
) -> None:
    """The same pictures, read by folder names, with their classes and the length of training found in the data."""
    small = ("image_scale=[256,64]", "crop=64", "stride=42", "epochs=4", "least_steps=0", "lr=1.0e-3", "precision=fp32")
    own = recipe("masks_linear_small", *small)
    ignoring = replace(SPECS["masks_linear"], options={"data": "own", "background": "ignore"})
    theirs = LinearSegmentationTask(SPECS["ade20k_linear@raw"])
    wanted = theirs.run(backbone, recipe("ade20k_linear@raw_demo", "lr=1.0e-3"), context_in(tmp_path / "theirs"))

    task = LinearSegmentationTask(ignoring)
    task.check_recipe(own)
    context = context_in(tmp_path / "own")
    assert not list(task.check(context.data_root or tmp_path))
    metrics = task.run(backbone, own, context)
    assert metrics == {name: wanted[name] for name in ("miou", "aacc", "macc")}
    assert task.evaluate(tmp_path / "own" / run.CHECKPOINT, own, context_in(tmp_path / "again")) == metrics

    keeping = LinearSegmentationTask(SPECS["masks_linear"])
    kept = keeping.run(backbone, own, context_in(tmp_path / "kept"))
    keeping.spec.check_metrics(kept)
    assert "miou_foreground" in kept


def test_a_run_leaves_the_backbone_as_it_was_and_mmsegmentations_own_metric_agrees(
    tmp_path: Path, backbone: Backbone, data_root: Path, context_in: Contexts
) -> None:
    context, values = context_in(tmp_path / "run"), recipe("ade20k_linear@raw_demo")
    task = LinearSegmentationTask(SPECS["ade20k_linear@raw"])
    metrics = task.run(normless(backbone), values, context)
    task.spec.check_metrics(metrics)
    losses = [line["loss"] for line in ProgressFile(context.folder).read() if "loss" in line]
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])

    file = context.folder / run.CHECKPOINT
    state = torch.load(file, weights_only=True)["state_dict"]
    before = normless(backbone).features(64, norm=False).state_dict()
    after = {name.removeprefix("backbone.features."): value for name, value in state.items() if "features" in name}
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert state["decode_head.batch_norm.num_batches_tracked"] == 12

    assert task.evaluate(file, values, context_in(tmp_path / "again")) == metrics
    config = configure(normless(backbone).about, read_recipe(values), SETS["ade20k"], context_in(tmp_path / "theirs"))
    config.val_evaluator = {"type": "IoUMetric", "iou_metrics": ["mIoU"]}
    runner = Runner.from_cfg(config)
    runner.model.load_state_dict(state)
    theirs = runner.val()
    assert [metrics[name] for name in ("miou", "aacc", "macc")] == [theirs[name] for name in ("mIoU", "aAcc", "mAcc")]


def test_the_learning_rate_is_mmcvs_poly_with_its_warm_up() -> None:
    values = replace(read_recipe(recipe("ade20k_linear@dinov2_full")).protocol, steps=50, warmup_steps=10)
    config = linear(values, Backbone.load("random:vit_demo").about, LOADERS)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [PARAM_SCHEDULERS.build({**each, "optimizer": optimizer}) for each in config.param_scheduler]
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    expected = [(1 - i / 50) * (1 - (1 - i / 10) * (1 - 1e-6) if i < 10 else 1) for i in range(50)]
    assert rates == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("family", [*FAMILIES, "plain"])
def test_the_head_reads_the_backbones_last_map_of_the_padded_image(family: str, norm: bool, backbone: Backbone) -> None:
    source = backbone if family == "plain" else backbone_of(family)
    frozen = FrozenMap(written(source.about), crop=64, norm=norm).train()
    frozen.load_backbone(source)
    images = torch.randn(2, 3, 64, 64)
    side = -(-64 // source.about.patch_size) * source.about.patch_size
    before = (side - 64) // 2
    padded = torch.zeros(2, 3, side, side)
    padded[:, :, before : before + 64, before : before + 64] = images
    expected = source.features(side, norm=norm).eval()(padded).maps[-1]
    (found,) = frozen(images)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not any(module.training for module in frozen.features.modules())


def test_the_head_is_batch_norm_and_a_matrix(backbone: Backbone) -> None:
    model = model_of(backbone).train()
    head, features = model.decode_head, torch.randn(4, 128, 8, 8)
    matrix, bias = head.conv_seg.weight[:, :, 0, 0], head.conv_seg.bias
    expected = F.batch_norm(features, None, None, training=True).movedim(1, -1) @ matrix.T + bias
    torch.testing.assert_close(head((features,)), expected.movedim(-1, 1))


@pytest.mark.parametrize("size", [(40, 200), (64, 100), (30, 30)])
def test_an_image_smaller_than_a_window_is_padded_and_its_prediction_cut_back(
    size: tuple[int, int], backbone: Backbone
) -> None:
    model = model_of(backbone).eval()
    windows: list[tuple[int, ...]] = []
    model.backbone.register_forward_pre_hook(lambda _, args: windows.append(tuple(args[0].shape[2:])))
    info = {"img_shape": size, "ori_shape": size}
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, *size)), metainfo=info)
    (out,) = model.test_step({"inputs": [torch.zeros(3, *size, dtype=torch.uint8)], "data_samples": [sample]})
    assert out.pred_sem_seg.shape == size
    assert set(windows) == {(64, 64)}


def test_features_after_a_norm_that_is_not_there_are_refused_in_one_line(
    backbone: Backbone, tmp_path: Path, context_in: Contexts
) -> None:
    context, values = context_in(tmp_path), recipe("ade20k_linear@dinov2_demo")
    with pytest.raises(UserError, match=r"^[^\n]*no final norm[^\n]*take the task whose name ends in @raw$"):
        run.train(normless(backbone), values, SETS["ade20k"], context)


@pytest.mark.parametrize("name", [name for name in SPECS if "@" in name])
def test_recipes_are_read_and_variants_differ_in_the_feature_point_alone(name: str) -> None:
    data, _, variant = name.partition("_linear@")
    load = partial(load_recipe, RECIPES)
    for size in ("full", "demo"):
        LinearSegmentationTask(SPECS[name]).check_recipe(load(f"{name}_{size}"))
        deviations = load(f"{name}_{size}").deviations
        assert (size == "demo") == any("150 iterations" in text for text in deviations)
        base = load(f"{data}_linear@dinov2_{size}").protocol
        assert load(f"{name}_{size}").protocol == {**base, "point": {"dinov2": "norm", "raw": "raw"}[variant]}


def test_the_number_of_classes_is_needed() -> None:
    with pytest.raises(UserError, match=r"^recipe ade20k_linear@raw_demo: classes is null"):
        LinearSegmentationTask(SPECS["ade20k_linear@raw"]).check_recipe(
            recipe("ade20k_linear@raw_demo", "classes=null")
        )
