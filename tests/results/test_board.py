"""Ranks: only of what may be compared, and shared where seeds do not tell."""

import pytest

from results.board import Board, boards, html_parts, terminal
from tests.support.runs import RunFolder


def ranks(board: Board) -> dict[str, tuple[int, bool]]:
    return {standing.backbone: (standing.rank, standing.shared) for standing in board.standings}


def measured(made: RunFolder, task: str, backbone: str, values: tuple[float, ...], **more: object) -> None:
    metric = str(more.pop("metric", "top1"))
    for seed, value in enumerate(values):
        made.record(task, backbone, seed, {metric: value, "top5": 99.0}, **more)


def test_overlapping_intervals_share_a_rank(made: RunFolder) -> None:
    # Half a t interval of three seeds is 2.484 deviations: about 0.25 around the first two, and 2.5 around the third.
    measured(made, "imagenet_knn@raw", "best", (80.0, 80.1, 80.2))
    measured(made, "imagenet_knn@raw", "worst", (70.0, 70.1, 70.2))
    measured(made, "imagenet_knn@raw", "wide", (77.0, 78.0, 79.0))
    measured(made, "imagenet_knn@raw", "near", (77.9, 78.0, 78.1))
    (board,) = boards(made.runs())
    assert ranks(board) == {"best": (1, True), "wide": (1, True), "near": (2, True), "worst": (4, False)}
    assert [standing.backbone for standing in board.standings] == ["best", "near", "wide", "worst"]


def test_one_seed_ranks_nobody(made: RunFolder) -> None:
    measured(made, "imagenet_knn@raw", "a", (80.0,))
    measured(made, "imagenet_knn@raw", "b", (20.0,))
    (board,) = boards(made.runs())
    assert set(ranks(board).values()) == {(1, True)}
    assert "one seed" in terminal([board])


def test_another_recipe_task_or_variant_is_another_board(made: RunFolder) -> None:
    for backbone, value in (("a", 80.0), ("b", 70.0)):
        measured(made, "imagenet_attentive@ep", backbone, (value, value + 0.1))
        measured(made, "imagenet_attentive@capi", backbone, (value, value + 0.1))
    measured(made, "imagenet_attentive@capi", "c", (90.0, 90.1), recipe_hash="other")
    found = boards(made.runs())
    assert [(board.task, len(board.standings)) for board in found] == [
        ("imagenet_attentive@capi", 2),
        ("imagenet_attentive@ep", 2),
    ]


@pytest.mark.parametrize(("metric", "first"), [("mce", "low"), ("top1", "high")])
def test_less_is_better_where_it_is(made: RunFolder, metric: str, first: str) -> None:
    measured(made, "t", "low", (30.0, 30.1), metric=metric)
    measured(made, "t", "high", (60.0, 60.1), metric=metric)
    (board,) = boards(made.runs())
    assert ranks(board)[first] == (1, False)
    assert board.standings[0].backbone == first


def test_another_metric_may_be_asked_for(made: RunFolder) -> None:
    measured(made, "t", "a", (30.0, 30.1))
    measured(made, "t", "b", (60.0, 60.1))
    (board,) = boards(made.runs(), "top5")
    assert board.metric == "top5"
    assert boards(made.runs(), "miou") == []


def test_names_are_escaped_in_html(made: RunFolder) -> None:
    measured(made, "t", "a&b", (30.0,))
    measured(made, "t", "b", (60.0,))
    (part,) = html_parts(boards(made.runs()))
    assert "a&amp;b" in part
