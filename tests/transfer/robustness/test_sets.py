"""Each set, from a small tree in its exact layout, scored as its authors do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from tests.transfer.robustness.conftest import SPECS, Classifier
from transfer.classification.job import make_job, save
from transfer.harness.plan.tasks import recipe_of
from transfer.robustness.classes import real_labels, subset, synsets
from transfer.robustness.corruptions import ALEXNET, EXTRA, SEVERITIES
from transfer.robustness.sets import SETS
from transfer.robustness.task import RobustnessTask
from transfer.task import Context

Pictures = list[Image.Image]


def put(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "PNG")


def make_folders(folder: Path, numbers: range | tuple[int, ...]) -> None:
    for number in numbers:
        (folder / synsets()[number]).mkdir(parents=True)


def best(scores: Tensor, among: tuple[int, ...]) -> int:
    return max(among, key=lambda number: float(scores[number]))


@pytest.mark.parametrize("letter", ["a", "r"])
def test_of_200_classes_only_these_are_guessed(
    letter: str, classifier: Classifier, pictures: Pictures, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / f"imagenet-{letter}"
    make_folders(folder, subset(letter))
    for number, picture in enumerate(pictures):
        guess = best(classifier.scores(picture), subset(letter))
        wrong = next(other for other in subset(letter) if other != guess)
        put(picture, folder / synsets()[guess if number % 2 else wrong] / f"{number}.jpg")
    metrics, context = classifier.evaluate(f"imagenet_{letter}", folder.parent, tmp_path / "run")
    assert metrics["top1"] == 50
    of_all = [int(classifier.scores(picture).argmax()) in subset(letter) for picture in pictures[1::2]]
    assert metrics["top1_of_all"] == 10 * sum(of_all) < 50
    published = {"a": "7,500", "r": "30,000"}[letter]
    assert context.deviations == [f"10 images instead of {published}"]
    assert RobustnessTask(SPECS[f"imagenet_{letter}"]).fingerprint(folder.parent)


def test_folders_of_v2_are_numbers(classifier: Classifier, pictures: Pictures, tmp_path: Path) -> None:
    folder = tmp_path / "imagenetv2-matched-frequency-format-val"
    for number in range(1000):
        (folder / str(number)).mkdir(parents=True)
    for number, picture in enumerate(pictures):
        put(picture, folder / str(int(classifier.scores(picture).argmax())) / f"{number}.jpeg")
    metrics, _ = classifier.evaluate("imagenet_v2", tmp_path, tmp_path / "run")
    assert metrics == {"top1": 100, "top5": 100}


def test_sketch_is_read_from_its_own_folder_too(classifier: Classifier, pictures: Pictures, tmp_path: Path) -> None:
    folder = tmp_path / "sketch"
    make_folders(folder, range(1000))
    for number, picture in enumerate(pictures):
        second = int(classifier.scores(picture).argsort()[-2])
        put(picture, folder / synsets()[second] / f"sketch_{number}.JPEG")
    for root in (tmp_path, folder):
        metrics, _ = classifier.evaluate("imagenet_sketch", root, tmp_path / f"run_{root.name}")
        assert metrics == {"top1": 0, "top5": 100}


def test_real_goes_by_file_name_and_takes_any_right_class(
    classifier: Classifier, pictures: Pictures, tmp_path: Path
) -> None:
    make_folders(tmp_path / "val", range(1000))
    folder = tmp_path / "val" / synsets()[0]
    unlabelled = next(name for name, right in real_labels().items() if not right)
    put(pictures[0], folder / unlabelled)
    there: list[str] = []
    for number, picture in enumerate(pictures[1:]):
        guess = int(classifier.scores(picture).argmax())
        free = {name: right for name, right in real_labels().items() if right and name not in there}
        fits = [name for name, right in free.items() if (guess in right) == (number < 6)]
        # Best an image of which the guess is right and not the first class.
        there.append(max(fits, key=lambda name: guess in real_labels()[name][1:]))
        put(picture, folder / there[-1])
    metrics, context = classifier.evaluate("imagenet_real", tmp_path, tmp_path / "run")
    assert metrics["top1"] == pytest.approx(100 * 6 / 9)
    assert context.deviations == ["9 images instead of 46,837"]
    put(pictures[0], folder / "picture_1.JPEG")
    with pytest.raises(UserError, match=r"picture_1.JPEG is not called ILSVRC2012_val"):
        SETS["real"](tmp_path)


OBJECTS = {
    "alarm_clock": ("Alarm clock", "analog clock; digital clock"),
    "chair": ("Chair", "barber chair; folding chair; rocking chair, rocker"),
    "sunglasses": ("Sunglasses", "sunglasses, dark glasses, shades"),
    "squeegee": ("Squeegee", None),
}
"""Lines of ObjectNet's own mappings."""
NUMBERS = {"alarm_clock": (409, 530), "chair": (423, 559, 765), "sunglasses": (837,)}


def write_objectnet(root: Path, pictures: Pictures, classifier: Classifier) -> list[str]:
    """Each picture in the folder of its best class, within a border that is not to be seen; returns the folders."""
    folder = root / "objectnet-1.0"
    (folder / "mappings").mkdir(parents=True)
    labels = {name: label for name, (label, _) in OBJECTS.items()}
    words = {label: text for label, text in OBJECTS.values() if text}
    (folder / "mappings" / "folder_to_objectnet_label.json").write_text(json.dumps(labels))
    (folder / "mappings" / "objectnet_to_imagenet_1k.json").write_text(json.dumps(words))
    for name in OBJECTS:
        (folder / "images" / name).mkdir(parents=True)
    chosen = []
    for number, picture in enumerate(pictures):
        scores = classifier.scores(picture)
        chosen.append(max(NUMBERS, key=lambda name: float(scores[list(NUMBERS[name])].max())))
        framed = Image.new("RGB", (picture.width + 4, picture.height + 4), (255, 0, 0))
        framed.paste(picture, (2, 2))
        put(framed, folder / "images" / chosen[-1] / f"{number}.png")
    put(pictures[0], folder / "images" / "squeegee" / "0.png")
    return chosen


def test_objectnet_has_no_border_and_only_shared_classes(
    classifier: Classifier, pictures: Pictures, tmp_path: Path
) -> None:
    chosen = write_objectnet(tmp_path, pictures, classifier)
    read = SETS["objectnet"](tmp_path)
    assert read.right is not None
    assert sorted(read.right) == sorted(NUMBERS[name] for name in chosen)
    assert read.candidates == (409, 423, 530, 559, 765, 837)
    metrics, _ = classifier.evaluate("objectnet", tmp_path, tmp_path / "run")
    assert metrics["top1"] == 100
    of_all = [int(classifier.scores(p).argmax()) in NUMBERS[name] for p, name in zip(pictures, chosen, strict=True)]
    assert metrics["top1_of_all"] == 10 * sum(of_all)


def test_mce_is_the_mean_of_errors_over_alexnets(classifier: Classifier, pictures: Pictures, tmp_path: Path) -> None:
    """Fog is seen through at every severity, frost at two of five; the rest never."""
    guesses = [int(classifier.scores(picture).argmax()) for picture in pictures[:2]]
    for name in (*ALEXNET, EXTRA[0]):
        for severity in SEVERITIES:
            right = name == "fog" or (name == "frost" and severity in "12")
            for number, guess in enumerate(guesses):
                label = guess if right else (guess + 1) % 1000
                put(pictures[number], tmp_path / name / severity / synsets()[label] / f"ILSVRC2012_val_{number}.JPEG")
    metrics, context = classifier.evaluate("imagenet_c", tmp_path, tmp_path / "run")
    shares = [{"fog": 0.0, "frost": 0.6}.get(name, 1.0) * 100 / of_alexnet for name, of_alexnet in ALEXNET.items()]
    assert metrics["mce"] == pytest.approx(100 * np.mean(shares))
    assert metrics["top1"] == pytest.approx(100 * 1.4 / 15)
    assert [metrics["error_frost"], metrics["error_speckle_noise"]] == pytest.approx([60, 100])
    assert context.deviations == ["160 images instead of 4,000,000"]


def test_of_a_linear_probe_the_reported_head_is_scored(pictures: Pictures, tmp_path: Path) -> None:
    spec, recipe = SPECS["imagenet_v2"], recipe_of(SPECS["imagenet_v2"], "imagenet_linear_demo")
    folder = tmp_path / "imagenetv2-matched-frequency-format-val"
    for number in range(1000):
        (folder / str(number)).mkdir(parents=True)
    put(pictures[0], folder / "7" / "0.jpeg")
    images, backbone = SETS["v2"](tmp_path).images, Backbone.load("random:vit_demo")
    (tmp_path / "run").mkdir()
    context = Context(tmp_path / "run", tmp_path, seed=0)
    model = make_job(backbone, recipe, images, images, context).workload.model()
    for head, label in {"avg": 3, "token": 7}.items():
        with torch.no_grad():
            model.get_parameter(f"heads.{head}.1.bias")[label] = 1e3
    save(model, backbone.spec, tmp_path / "probe.safetensors")
    assert RobustnessTask(spec).evaluate(tmp_path / "probe.safetensors", recipe, context)["top1"] == 100


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "lacks 200 of 200 class folders"),
        ("r", "lacks 200 of 200 class folders"),
        ("sketch", "lacks 1,000 of 1,000 class folders"),
        ("v2", "lacks 1,000 of 1,000 class folders"),
        ("real", "lacks 1,000 of 1,000 class folders"),
        ("objectnet", "folder_to_objectnet_label.json does not exist"),
        ("c", "gaussian_noise/1 lacks 1,000 of 1,000 class folders"),
    ],
)
def test_a_folder_that_is_not_there_is_one_line(name: str, message: str, tmp_path: Path) -> None:
    task = f"imagenet_{name}" if f"imagenet_{name}" in SPECS else name
    (problem,) = RobustnessTask(SPECS[task]).check(tmp_path)
    assert message in str(problem)
    assert "\n" not in str(problem)


def test_another_sets_folders_are_named(tmp_path: Path) -> None:
    make_folders(tmp_path, subset("r"))
    with pytest.raises(
        UserError, match=r"lacks 114 of 200 class folders .* and has 114 folders that are no class of it"
    ):
        SETS["a"](tmp_path)
