"""``transfer calibrate``: released models that lie on disk are evaluated and compared with what was published."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from results.tables.published import load_published
from tests.support.bench import TASKS
from transfer.calibration.registry import BUILT_IN, Released, load_registry
from transfer.harness.plan.tasks import load_specs, recipe_of


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Data, and a folder of weights that is still empty."""
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "numbers.json").write_text(json.dumps(list(range(1000))))
    (tmp_path / "weights").mkdir()
    return tmp_path


def entry(file: str, **more: Any) -> dict[str, Any]:
    content = {"title": file, "task": "counting", "recipe": "quick", "url": f"https://example.org/{file}"}
    return {**content, "file": file, "expected": {"total": 50.0}, "band": 0.2, **more}


def released(place: Path, file: str, text: str) -> str:
    """A finished model of the counting task, and its MD5."""
    path = place / "weights" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return hashlib.md5(text.encode()).hexdigest()


def calibrate(place: Path, models: dict[str, Any], *options: str) -> tuple[int, str]:
    (place / "registry.yaml").write_text(yaml.safe_dump(models))
    command = [sys.executable, "-c", "from transfer.cli import main; main()", "calibrate", "--weights", "weights"]
    command += ["--registry", "registry.yaml", "--out", "out", "--tasks", str(TASKS), "--devices", "cpu:2"]
    command += ["--data", "numbers=numbers", *options]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def row(text: str, model: str) -> list[str]:
    """The cells of a model's row."""
    (line,) = [line for line in text.splitlines() if re.match(rf"\W*{model} ", line) and "│" in line]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_every_kind_of_verdict(place: Path) -> None:
    md5 = released(place, "good.pth", "50.15")
    released(place, "below/folder/off.pth", "50.3")
    released(place, "swapped.pth", "50.0")
    released(place, "broken.pth", "no number")
    models = {
        "good": entry("good.pth", digest=f"md5:{md5[:6]}"),
        "off": entry("folder/off.pth"),
        "swapped": entry("swapped.pth", digest="sha256:000000"),
        "broken": entry("broken.pth"),
        "absent": entry("absent.pth"),
        "elsewhere": entry("another/off.pth"),
    }
    code, text = calibrate(place, models)
    assert row(text, "good") == ["good", "total", "50.00", "50.15", "±0.2", "reproduced"]
    assert row(text, "off") == ["off", "total", "50.00", "50.30", "±0.2", "OFF"]
    assert row(text, "swapped")[3:] == ["", "±0.2", "another file"]
    assert row(text, "broken")[5] == "no result"
    assert row(text, "absent")[5] == row(text, "elsewhere")[5] == "not on disk"
    assert "published is sha256:000000; download https://example.org/swapped.pth" in text
    assert "broken: no result: ValueError: could not convert string to float" in text
    assert "absent: not on disk: absent.pth: https://example.org/absent.pth" in text
    assert "this installation does NOT reproduce 3 of 4 released models" in text
    assert code == 1


@pytest.mark.slow
def test_the_second_call_evaluates_nothing_again_and_a_new_file_anew(place: Path) -> None:
    released(place, "good.pth", "50.0")
    models = {"good": entry("good.pth"), "absent": entry("absent.pth")}
    code, text = calibrate(place, models)
    assert "reproduces the published numbers of all 1 released models on disk" in text
    assert code == 0
    (record,) = place.glob("out/counting/good/*/record.json")
    written = record.stat().st_mtime_ns
    code, text = calibrate(place, models)
    assert "nothing to do: all 1 runs are done" in text
    assert (code, record.stat().st_mtime_ns) == (0, written)
    released(place, "good.pth", "40.0")
    code, text = calibrate(place, models)
    assert row(text, "good")[3:] == ["40.00", "±0.2", "OFF"]
    assert code == 1


def test_nothing_on_disk_is_no_calibration(place: Path) -> None:
    code, text = calibrate(place, {"absent": entry("absent.pth")})
    assert "none of the released models is on disk" in text
    assert code == 1


def test_dry_run_starts_nothing(place: Path) -> None:
    released(place, "good.pth", "50.0")
    code, text = calibrate(place, {"good": entry("good.pth")}, "--dry-run")
    assert "transfer.harness.worker out/counting/good/0-" in text
    assert code == 0
    assert not list(place.glob("out/counting"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"one": {"title": "x"}}, "one lacks"),
        ({"one": {**entry("x"), "bnd": 1}}, "one has unknown bnd"),
        ({"one": entry("x", expected={"top1": ["crossmae_table99", "a", "b"]})}, "no published table"),
        ({"one": entry("x", expected={"top1": ["crossmae_readme", "CrossMAE", "ViT-XXL"]})}, "no number in row"),
        ([1], "is no registry of released models"),
    ],
)
def test_a_wrong_registry_is_one_line(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=message) as error:
        load_registry(tmp_path / "registry.yaml")
    assert "\n" not in str(error.value)


ROBUSTNESS, FROZEN = BUILT_IN.with_name("robustness.yaml"), BUILT_IN.with_name("frozen.yaml")
BANDS = {"imagenet_a": 1.0, "ade20k_linear": 0.5, "voc2012_linear": 0.5, "nyu_depth_linear": 0.01}
ALL = [model for registry in (BUILT_IN, ROBUSTNESS, FROZEN) for model in load_registry(registry)]


@pytest.mark.parametrize("model", ALL, ids=lambda model: model.name)
def test_every_released_model_can_be_evaluated_and_judged(model: Released) -> None:
    spec = load_specs()[model.task]
    assert set(model.numbers()) <= set(spec.metrics)
    assert recipe_of(spec, model.recipe).protocol
    assert model.url.endswith(model.file.rpartition("/")[2])
    assert model.url.startswith("https://")
    assert 0 < model.band <= BANDS.get(model.task.partition("@")[0], 0.5 if spec.evaluates else 0.2)


@pytest.mark.parametrize("model", load_registry(FROZEN), ids=lambda model: model.name)
def test_a_frozen_number_is_expected_of_the_variant_that_it_was_measured_by(model: Released) -> None:
    (reference,) = model.expected.values()
    assert isinstance(reference, tuple)
    said = " ".join((load_published(reference[0]).title, *map(str, load_published(reference[0]).protocol.values())))
    variant = model.task.partition("@")[2]
    assert variant in said or (reference[0] == "ibot_readme" and variant == "dino")


@pytest.mark.slow
def test_a_task_is_run_on_a_released_backbone(place: Path) -> None:
    Backbone.load("random:vit_demo", seed=1).save(place / "weights" / "mine")
    models = {"mine": entry("mine/model.safetensors", backbone="{folder}?heads=4", expected={"total": 190.0})}
    code, text = calibrate(place, models)
    assert row(text, "mine")[2:] == ["190.00", "190.00", "±0.2", "reproduced"]
    assert code == 0
    (record,) = place.glob("out/counting/mine/*/record.json")
    assert set(json.loads(record.read_text())["backbone"]["lineage"]) == {"file", "options"}


def test_no_two_released_models_share_a_file() -> None:
    files = [model.file for model in load_registry(BUILT_IN)]
    assert len(set(files)) == len(files) == 12
