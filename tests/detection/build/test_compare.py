"""Our configurations hold upstream's values; every difference has a reason."""

from dataclasses import replace

import pytest
from detectron2.config import instantiate

from crossmae.recipe import load_recipe
from detection.build.compare import REASONS, compare, main
from detection.build.optimizer import schedule_config
from detection.recipe import RECIPES, read_recipe


@pytest.mark.parametrize("size", ["b", "l", "h"])
def test_every_difference_from_upstream_is_explained(size: str) -> None:
    rows = compare(size)
    unexplained = [f"{row.name}: {row.ours!r}, upstream {row.upstream!r}" for row in rows if row.reason is None]
    assert unexplained == []
    assert len(rows) > 140


def test_a_reason_never_outlives_its_difference() -> None:
    differing = {row.name for size in "blh" for row in compare(size) if row.differs}
    assert differing == set(REASONS)


def test_the_comparison_sees_values_of_every_part() -> None:
    values = {row.name: row.upstream for row in compare("h")}
    assert values["train.max_iter"] == 138281
    assert values["optimizer.params.lr_factor_func.lr_decay_rate"] == 0.9
    assert values["model.proposal_generator.anchor_generator.sizes"] == [[32], [64], [128], [256], [512]]
    assert values["dataloader.train.mapper.augmentations"][1]["min_scale"] == 0.1


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    printed = capsys.readouterr().out
    assert "mask_rcnn_vitdet_h_75ep" in printed
    assert "lr_multiplier.scheduler.milestones" in printed


def test_a_shortened_run_keeps_the_milestones_that_it_reaches() -> None:
    protocol = read_recipe(load_recipe(RECIPES, "coco_vitdet_demo", ["steps=225"])).protocol
    schedule = instantiate(schedule_config(protocol))
    assert [round(schedule(step / 225), 6) for step in (0, 30, 199, 200, 224)] == [0.001, 1.0, 1.0, 0.1, 0.1]
    instantiate(schedule_config(replace(protocol, steps=5)))
