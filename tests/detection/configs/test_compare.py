"""Our configurations hold upstream's values; every difference has a reason."""

import pytest

from detection.configs.compare import REASONS, compare, main


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
