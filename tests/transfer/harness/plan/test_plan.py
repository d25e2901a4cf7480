"""Plans: every run once, with an identity that only what decides the numbers can change."""

from dataclasses import replace
from pathlib import Path

import pytest

from crossmae.errors import UserError
from results.tables.spec import table_names
from transfer.harness.plan.plan import evaluation_of, make_plan
from transfer.harness.plan.suite import BUILT_IN, BackboneEntry, Suite, load_suite
from transfer.harness.plan.tasks import load_specs, recipe_of
from transfer.harness.worker.adapter import load_adapter

SPECS = load_specs()


def identities(suite: Suite, out: Path = Path("out")) -> dict[tuple[str, str, int], str]:
    return {(run.task.name, run.backbone, run.seed): run.identity for run in make_plan(suite, SPECS, out)}


def test_demo_has_twenty_cells_three_pretrainings_and_a_look_into_two() -> None:
    runs = make_plan(load_suite("demo"), SPECS, Path("out"))
    pretraining = [run for run in runs if run.task.name == "pretrain"]
    assert [run.backbone for run in pretraining] == ["mae", "crossmae", "crossmae_equal_time"]
    assert runs[:3] == pretraining
    assert len(runs) == 27
    assert {run.backbone for run in runs if run.task.name in ("attention", "psnr")} == {"mae", "crossmae"}
    needed = {run.backbone: run.needs for run in runs if run.task.name == "coco_vitdet"}
    assert needed == {"random": None, **{run.backbone: run for run in pretraining}}


def test_every_seed_pretrains_anew() -> None:
    runs = make_plan(replace(load_suite("demo"), seeds=(0, 1)), SPECS, Path("out"))
    assert len({run.needs.folder for run in runs if run.needs and run.backbone == "mae"}) == 2


def test_a_backbone_may_have_tasks_of_its_own() -> None:
    own = BackboneEntry("mine", source="random:vit_demo", tasks=("inat19",), also={"places365": "demo"})
    suite = replace(load_suite("demo"), tasks={"inat19": "demo"}, backbones=(own,))
    assert [run.task.name for run in make_plan(suite, SPECS, Path("out"))] == ["inat19", "places365"]
    assert suite.all_tasks == {"pretrain", "inat19", "places365"}


def test_only_the_protocol_is_part_of_the_identity() -> None:
    suite = load_suite("demo")
    before = identities(suite)
    assert identities(suite.override("inat19", "per_device_batch=8").override("inat19", "devices=4")) == before
    after = identities(suite.override("inat19", "steps=7"))
    assert {key for key in before if before[key] != after[key]} == {
        ("inat19", backbone, 0) for backbone in ("random", "mae", "crossmae", "crossmae_equal_time")
    }


def test_changed_pretraining_is_another_backbone_for_every_task() -> None:
    suite = load_suite("demo")
    before, after = identities(suite), identities(suite.override("pretrain", "steps=7"))
    assert all(before[key] == after[key] for key in before if key[1] == "random")
    assert all(before[key] != after[key] for key in before if key[1] != "random")


def test_a_change_by_the_caller_comes_after_those_of_a_single_backbone() -> None:
    own = BackboneEntry("mine", pretrain="demo_mae", overrides={"pretrain": ("steps=900",)})
    suite = replace(load_suite("demo"), backbones=(own,))
    for changed, steps in (suite, 900), (suite.override("pretrain", "steps=7"), 7):
        assert make_plan(changed, SPECS, Path("out"))[0].recipe.protocol["steps"] == steps


SUITES = [load_suite(path.stem) for path in sorted(BUILT_IN.glob("*.yaml"))]


@pytest.mark.parametrize("suite", [suite for suite in SUITES if suite.backbones], ids=lambda suite: suite.name)
def test_every_recipe_of_a_suite_fits_its_backbones(suite: Suite) -> None:
    for run in {run.recipe.hash: run for run in make_plan(suite, SPECS, Path("out"))}.values():
        load_adapter(run.task).check_recipe(run.recipe)


def test_other_weights_in_the_same_file_are_another_backbone(tmp_path: Path) -> None:
    weights = tmp_path / "mine.pth"
    suite = replace(load_suite("demo"), backbones=(BackboneEntry("mine", source=str(weights)),))
    weights.write_bytes(b"one")
    first = identities(suite, tmp_path)
    assert identities(suite, tmp_path) == first
    weights.write_bytes(b"two!")
    assert set(identities(suite, tmp_path).values()).isdisjoint(first.values())


def test_what_stands_behind_the_question_mark_is_another_backbone(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"one")

    def planned(options: str) -> set[str]:
        entry = BackboneEntry("mine", source=f"{tmp_path / 'mine.pth'}{options}")
        return set(identities(replace(load_suite("demo"), backbones=(entry,)), tmp_path).values())

    assert planned("?heads=6&act=gelu") == planned("?act=gelu&heads=6")
    assert planned("").isdisjoint(planned("?heads=6"))
    assert planned("?heads=12").isdisjoint(planned("?heads=6"))
    with pytest.raises(UserError, match="unknown head"):
        planned("?head=6")


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        (Suite("s", "", (BackboneEntry("a", source="nowhere.pth"),), {"inat19": "demo"}), "no weights at nowhere.pth"),
        (Suite("s", "", (BackboneEntry("a"),), {"inat19": "demo"}), "neither source nor pretrain"),
        (Suite("s", "", (BackboneEntry("a", source="random:vit_demo"),), {"inat20": "demo"}), "no task 'inat20'"),
        (Suite("s", "", (BackboneEntry("a", source="random:vit_demo"),), {"inat19": "huge"}), "no recipe 'huge'"),
    ],
)
def test_what_does_not_exist_is_named(suite: Suite, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(suite, SPECS, Path("out"))


@pytest.mark.parametrize(
    "name", ["demo", "smoke", "paper", "ablations", "backbone", "quick", "frozen", "frozen_demo", "dense"]
)
def test_every_suite_can_be_planned_and_names_tables_that_exist(name: str, tmp_path: Path) -> None:
    suite = load_suite(name)
    if not suite.backbones:
        suite = replace(suite, backbones=(BackboneEntry("mine", source="random:vit_b16", arch="vit_b16"),))
    assert make_plan(suite, SPECS, tmp_path)
    assert set(suite.tables) <= set(table_names())


def test_runs_that_several_tables_share_are_planned_once() -> None:
    """Table 14 asks for four seeds of a backbone that Tables 3c, 4, 5, 7 and 8 ask for, too."""
    runs = make_plan(load_suite("ablations"), SPECS, Path("out"))
    shared = [run for run in runs if run.backbone == "crossmae25_400ep" and run.task.name == "pretrain"]
    assert [run.seed for run in shared] == [0, 1, 2, 3]
    assert len({run.identity for run in runs}) == len(runs)


def test_suite_without_backbones_asks_for_one() -> None:
    with pytest.raises(UserError, match="--backbone NAME:vit_b16=SOURCE"):
        make_plan(load_suite("backbone"), SPECS, Path("out"))


def test_finished_models_are_evaluated_from_a_file_or_after_their_training(tmp_path: Path) -> None:
    weights = tmp_path / "finished.pth"
    weights.write_bytes(b"one")
    entry = BackboneEntry("mine", source=str(weights), arch="vit_b16")
    suite = replace(load_suite("robustness"), backbones=(entry,))
    runs = make_plan(suite, SPECS, tmp_path)
    assert {run.task.name for run in runs} == set(suite.tasks)
    assert set(suite.tables) <= set(table_names())
    assert all((run.weights, run.source, run.needs) == (weights, None, None) for run in runs)

    trained_too = replace(suite, tasks={**suite.tasks, "imagenet_finetune": "{arch}"})
    first, *others = make_plan(trained_too, SPECS, tmp_path)
    assert (first.task.name, first.source) == ("imagenet_finetune", str(weights))
    assert all((run.weights, run.needs) == (first.folder / "classifier.safetensors", first) for run in others)
    assert {run.identity for run in others}.isdisjoint(run.identity for run in runs)
    with pytest.raises(UserError, match="evaluates a finished model of imagenet_finetune, and none has none"):
        make_plan(
            replace(suite, backbones=(BackboneEntry("none", source="random:vit_b16", arch="vit_b16"),)), SPECS, tmp_path
        )


def test_evaluations_of_one_file_on_the_demo_and_on_other_data_are_runs_of_their_own(tmp_path: Path) -> None:
    """Else each would remove the other's record."""
    (tmp_path / "model.pth").write_bytes(b"a model")
    spec = load_specs()["imagenet_finetune"]
    recipe = recipe_of(spec, "demo")
    runs = [
        evaluation_of(tmp_path / "model.pth", "model", spec, recipe, tmp_path, data, demo)
        for data, demo in (("0123", False), ("0123", True), ("4567", False), ("4567", True))
    ]
    assert len({run.folder for run in runs}) == len({run.identity for run in runs}) == 4
