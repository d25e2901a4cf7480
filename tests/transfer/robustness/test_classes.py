"""Classes are those that timm's files name."""

import pkgutil

import pytest

from crossmae.errors import UserError
from transfer.robustness.classes import numbers_of, real_labels, subset, synsets
from transfer.robustness.corruptions import ALEXNET, EXTRA, mean_corruption_error


@pytest.mark.parametrize("letter", ["a", "r"])
def test_the_numbers_of_a_subset_are_those_of_its_names(letter: str) -> None:
    content = pkgutil.get_data("timm.data", f"_info/imagenet_{letter}_synsets.txt")
    assert content is not None
    assert [synsets()[number] for number in subset(letter)] == content.decode().split()
    assert len(set(subset(letter))) == 200


def test_a_and_r_share_86_classes() -> None:
    assert subset("a")[0] == 6 == synsets().index("n01498041")
    assert len({*subset("a")} & {*subset("r")}) == 86


def test_real_labels_are_counted_as_they_were_published() -> None:
    labels = real_labels()
    assert len(labels) == 50_000
    assert sum(not right for right in labels.values()) == 3_163
    assert sum(map(len, labels.values())) == 57_553
    assert labels["ILSVRC2012_val_00000001.JPEG"] == ()
    assert labels["ILSVRC2012_val_00000002.JPEG"] == (970, 795)


def test_words_name_one_class_or_are_refused() -> None:
    assert numbers_of(["sunglasses, dark glasses, shades", "orange"], "here") == (837, 950)
    with pytest.raises(UserError, match="'crane' names 2 classes"):
        numbers_of(["crane"], "here")
    with pytest.raises(UserError, match="'cranes' names 0 classes"):
        numbers_of(["cranes"], "here")


def test_a_classifier_as_good_as_alexnet_has_an_mce_of_100() -> None:
    assert mean_corruption_error({**ALEXNET, **dict.fromkeys(EXTRA, 3.0)}) == pytest.approx(100)
    assert mean_corruption_error({**ALEXNET, "fog": 0.0}) == pytest.approx(100 * 14 / 15)
