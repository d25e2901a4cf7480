"""Lists that give an image several labels: recognised by stated rules, and one line for each thing that is wrong."""

from pathlib import Path

import numpy as np
import pytest

from tests.support.labelled_images import save_image
from transfer.datasets.labelled import LabelledImages
from transfer.datasets.layouts import reader_of
from transfer.datasets.own import OwnImages
from transfer.datasets.split import a_fifth, held_out
from transfer.frozen.knn import KnnTask
from transfer.harness.plan.data_roots import recognise
from transfer.harness.plan.tasks import extended, load_specs

SEVERAL = {"labels": "several"}
CELLS = ("cat|red dog", "cat", "", "bird|cat", "red dog", "cat|red dog|cat", "bird", "cat", "red dog", "cat")


def listed(root: Path, text: str, count: int = len(CELLS)) -> Path:
    for number in range(count):
        save_image(root / f"{number}.png", side=20 + number)
    (root / "labels.csv").write_text(text)
    return root / "labels.csv"


def of_cells(root: Path, header: str = "file,label", separator: str = "|") -> Path:
    rows = (f'{number}.png,"{cell.replace("|", separator)}"' for number, cell in enumerate(CELLS))
    return listed(root, "\n".join([header, *rows, ""]))


def of_columns(root: Path, header: str = "file,bird,cat,red dog", more: str = "") -> Path:
    names = ("bird", "cat", "red dog")
    rows = (
        f"{number}.png,{','.join(str(int(name in cell.split('|'))) for name in names)}{more}"
        for number, cell in enumerate(CELLS)
    )
    return listed(root, "\n".join([header, *rows, ""]))


def problems(path: Path, **options: str) -> list[str]:
    return [str(problem) for problem in OwnImages({**SEVERAL, **options}).check(path)]


def test_both_ways_of_giving_labels_are_the_same_data(tmp_path: Path) -> None:
    paths = [of_cells(tmp_path / "cells"), of_columns(tmp_path / "columns")]
    assert [recognise(path) for path in paths] == [recognise(path.parent) for path in paths] == ["multilabel"] * 2
    one, other = (OwnImages(SEVERAL).read_both(path) for path in paths)
    for mine, its in zip(one, other, strict=True):
        assert mine.classes == its.classes == ("bird", "cat", "red dog")
        assert mine.files == its.files
        assert np.array_equal(mine.labels, its.labels)
    assert not problems(paths[0])
    said, counts, average, *_ = OwnImages(SEVERAL).describe(paths[0])
    assert said.endswith("labels.csv gives an image several labels ('|' between them)")
    assert "3 classes, 7 training and 3 validation images (a fifth of each class (at least one" in counts
    assert "rare classes first; one of each class stays" in counts
    assert average.endswith("1.20 labels an image, 1 images without one")


def test_of_each_class_a_training_image_stays(tmp_path: Path) -> None:
    cells = ["a"] * 2 + ["a|b"] + ["a"] * 7
    for place in range(10):
        cells = cells[-1:] + cells[:-1]
        rows = "".join(f"{number}.png,{cell}\n" for number, cell in enumerate(cells))
        train, val = OwnImages(SEVERAL).read_both(listed(tmp_path / str(place), f"file,label\n{rows}"))
        assert (len(train), len(val)) == (8, 2)
        assert train.counts().tolist()[1] == 1


def test_every_class_has_validation_images(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    files = tuple(f"{number}.png" for number in range(40))
    for _ in range(20):
        labels = (generator.random((40, 5)) < [0.05, 0.1, 0.2, 0.4, 0.6]).astype(np.int64)
        labels[:2] = 1
        images = LabelledImages(tmp_path, files, labels, tuple("abcde"))
        held = images.subset(held_out(images, a_fifth)).counts()
        assert (held >= [min(a_fifth(count), count - 1) for count in images.counts()]).all()
        assert (held < images.counts()).all()
    # Where each image has one label, it is the split of images of one label.
    one = generator.integers(0, 5, 40)
    single, several = (
        held_out(LabelledImages(tmp_path, files, labels, tuple("abcde")), a_fifth)
        for labels in (one, np.eye(5, dtype=np.int64)[one])
    )
    assert np.array_equal(single, several)


@pytest.mark.parametrize(
    ("header", "separator", "options"),
    [
        ("file,tags", ",", {}),
        ("file,label", ";", {}),
        ("file,label", " + ", {"label_separator": "+"}),
        ("file,label", ",", {"label_separator": ","}),
    ],
)
def test_separators_are_found_or_said(tmp_path: Path, header: str, separator: str, options: dict[str, str]) -> None:
    path = of_cells(tmp_path, header, separator)
    assert OwnImages({**SEVERAL, **options}).read_both(path)[0].classes == ("bird", "cat", "red dog")
    assert recognise(path) == ("list" if options else "multilabel")


def test_a_comma_in_the_name_of_a_class_is_no_separator(tmp_path: Path) -> None:
    path = of_cells(tmp_path, "file,class", ", ")
    path.write_text(path.read_text().replace('""', "cat"))
    assert recognise(path) == "list"
    assert "cat, red dog" in OwnImages().read_both(path)[0].classes


def test_tasks_of_one_label_refuse_several_in_one_line(tmp_path: Path) -> None:
    path = of_cells(tmp_path)
    (problem,) = OwnImages().check(path)
    assert "labels.csv gives an image several labels ('|' between them); a task that extends multilabel" in str(problem)
    path.write_text(path.read_text().replace('""', "cat"))
    assert not list(OwnImages({"label_separator": "none"}).check(path))
    nearest = KnnTask(extended(load_specs()["imagefolder_knn"], "mine", "Mine", "mine", SEVERAL))
    (problem,) = nearest.check(path)
    assert "mine is defined for one label an image alone; extend multilabel_finetune" in str(problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("file,label\n0.png,a|b\n1.png,a;b\n", "cells of the column label hold | and ;; say what separates labels"),
        ("file,a,b,width\n0.png,1,0,640\n", "columns of 0 and 1 (a, b), and width holds '640'; take out columns"),
        ("file,a,b,c\n0.png,1,0,1\n1.png,1,0,2\n", "columns of 0 and 1 (a, b), and c holds '2'"),
        ("file,label,split\n0.png,a|b,train\n1.png,a|c,val\n", "validation and no training images (c)"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    (line,) = problems(listed(tmp_path, text))
    assert expected in line


def test_class_folders_give_one_label(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_image(tmp_path / name / "1.png")
    (line,) = problems(tmp_path)
    assert "is no list; several labels an image are given by a CSV or Parquet file" in line


@pytest.mark.parametrize("labels", ["several", "one"])
def test_values_are_tuned_on_training_images_alone(tmp_path: Path, labels: str) -> None:
    """Other validation labels change nothing."""
    names = ("bird", "cat", "red dog")
    rows = [f"{number}.png,{names[number % 3]},train" for number in range(15)]
    options = {"reader": "own", "labels": labels, "label_separator": "|"} if labels == "several" else {"reader": "own"}
    path = listed(tmp_path, "\n".join(["file,label,split", *rows, "15.png,cat,val", ""]), 16)
    whole = reader_of(options).read(path, "train")
    fitted, held = reader_of({**options, "tuning": "yes"}).read_both(path)
    assert sorted((*fitted.files, *held.files)) == sorted(whole.files)
    assert len(held) == 3
    assert fitted.classes == held.classes == names
    described = reader_of({**options, "tuning": "yes"}).fingerprint(path)
    path.write_text("\n".join(["file,label,split", *rows, "15.png,bird,val", ""]))
    again = reader_of({**options, "tuning": "yes"}).read_both(path)
    assert [images.fingerprint for images in again] == [images.fingerprint for images in (fitted, held)]
    assert reader_of({**options, "tuning": "yes"}).fingerprint(path) == described
