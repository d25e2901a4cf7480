"""``transfer check``: everything at once, each problem once, each with what to do."""

import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from crossmae import Backbone
from tests.support.bench import TASKS, Bench
from transfer.harness.folder.expected import Expected, write_expected
from transfer.harness.plan.options import BenchmarkOptions


def check(bench: Bench, *options: str) -> tuple[int, list[str], str]:
    code, output = bench.transfer("check", *options)
    return code, [line for line in output.splitlines() if line.startswith("- ")], output


def test_nothing_wrong(bench: Bench) -> None:
    bench.suite()
    code, problems, output = check(bench)
    assert (code, problems) == (0, []), output


def test_all_problems_at_once(bench: Bench) -> None:
    """Two data sets and weights; weights that cannot be read must not keep the rest from being looked at."""
    content = bench.suite_content({"counting": "quick", "summing": "quick"})
    (bench.folder / "mine.pth").write_bytes(b"no weights")
    content["backbones"]["mine"] = {"source": "mine.pth"}
    content["data"] = "real"
    content["tasks"]["imagenet_finetune"] = "demo"
    bench.write_suite(content)
    (bench.folder / "broken").mkdir()
    (bench.folder / "broken" / "numbers.json").write_text("[")
    code, problems, output = check(bench, "--data", "numbers=broken", "--data", "imagenet=nowhere")
    assert code == 1
    assert len(problems) == 4, output
    found = "\n".join(problems)
    assert "numbers.json is damaged; fetch it again" in found
    assert "no data at data/others; put it there or say where it is: --data others=PATH" in found
    assert "no data at nowhere" in found
    assert "mine.pth" in found


def test_data_is_found_by_file_variable_and_option(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {**bench.suite_content({"counting": "quick"}), "data": "real"}
    bench.write_suite(content)
    for name in ("file", "variable", "option"):
        (bench.folder / name).mkdir()
    (bench.folder / "option" / "numbers.json").write_text(json.dumps(list(range(30))))
    (bench.folder / "data.yaml").write_text("numbers: file\n")
    assert "file/numbers.json" in check(bench)[2]
    monkeypatch.setenv("CROSSMAE_DATA_NUMBERS", "variable")
    assert "variable/numbers.json" in check(bench)[2]
    assert check(bench, "--data", "numbers=option")[0] == 0


def test_missing_engine_names_the_set_up_command(bench: Bench) -> None:
    tasks = bench.folder / "tasks"
    tasks.mkdir()
    spec = "version: 1\ntitle: x\nadapter: counting:Counting\nmetrics: [a]\nengine: [no_such_engine]\n"
    (tasks / "engined.yaml").write_text(spec)
    (tasks / "recipes").mkdir()
    (tasks / "recipes" / "quick.yaml").write_text("protocol: {}\n")
    bench.suite(tasks=("engined",))
    _, problems, output = check(bench, "--tasks", str(tasks))
    assert problems == ["- engined needs no_such_engine, which is not installed; run `make setup`"], output


PROBLEMS = {
    "wrong class count": ("imagenet (train): 2 classes instead of 3", "imagenet (val): 2 classes instead of 3"),
    "image cut short": ("imagenet (train): 1 images (train/a/1.png) cannot be read; copy them again",),
    "truncated JSON": ("train2019.json is not valid JSON",),
    "missing image": ("inat19 (val): 1 files (train_val2019/gone.png) missing; unpack the archive again",),
    "list of other classes": ("places365_train_standard.txt names classes that categories_places365.txt does not",),
    "missing annotations": ("instances_val2017.json is missing; unpack COCO 2017",),
    "wrong layout": ("ade20k holds ADEChallengeData2016 as a folder; give ",),
    "unreadable folder": ("secret/train cannot be read (Permission denied); ask its owner",),
    "missing weights": ("no weights at nowhere.pth; give a folder",),
    "another model's checkpoint": ("resnet.pth",),
    "weights of another size": ("small is vit_demo, not vit_b16; name it --backbone NAME:ARCH=SOURCE",),
    "missing engine": ("engined needs no_such_engine, which is not installed; run `make setup`",),
    "engine for another torch": (
        "engined needs broken_engine, which cannot be loaded (ImportError: undefined symbol);",
    ),
    "recipe that does not exist": ("no recipe 'huge'; known recipes: ",),
    "disk too small": ("GiB free of 1048576.0 that are needed; free some, or choose another --out",),
    "device that is not there": ("--devices 0,9: no GPU 9 on this machine; it has 0, 1",),
}


@pytest.mark.slow
def test_sixteen_planted_problems_are_all_reported_in_one_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bench.folder)
    _plant_data(bench.folder / "data")
    _plant_weights()
    _plant_suite(bench)
    # Root may read everything, unless it gives that up.
    without_powers = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    bench.prefix = without_powers if os.geteuid() == 0 else ()
    bench.pretend_gpus(2, torch_agrees=False)
    code, found, output = check(bench, "--devices", "0,9", "--tasks", "tasks", "--data", "pretrain=data/secret/train")
    (bench.folder / "data" / "secret").chmod(0o700)
    assert code == 1, output
    for name, expected in PROBLEMS.items():
        for text in expected:
            assert sum(text in line for line in found) == 1, f"{name} in {output}"
    assert len(found) == sum(map(len, PROBLEMS.values())), output


def _plant_data(data: Path) -> None:
    picture(data / "imagenet" / "train" / "a" / "0.png")
    whole = (data / "imagenet" / "train" / "a" / "0.png").read_bytes()
    (data / "imagenet" / "train" / "a" / "1.png").write_bytes(whole[: len(whole) * 2 // 3])
    for file in ("train/b/0.png", "val/a/0.png", "val/b/0.png"):
        picture(data / "imagenet" / file)
    size(data / "imagenet", classes=3, train=3, val=2)
    size(data / "inat19", classes=1, train=1, val=1)
    (data / "inat19" / "train2019.json").write_text('{"images": [{"id": 1, ')
    listed = {"images": [{"id": 1, "file_name": "train_val2019/gone.png"}], "categories": [{"id": 7, "name": "bird"}]}
    (data / "inat19" / "val2019.json").write_text(
        json.dumps({**listed, "annotations": [{"image_id": 1, "category_id": 7}]})
    )
    size(data / "places365", classes=1, train=1, val=1)
    picture(data / "places365" / "data_256" / "a" / "0.png")
    picture(data / "places365" / "val_256" / "0.png")
    lists = {
        "categories_places365": "/a/abbey 0\n",
        "places365_train_standard": "/a/0.png 5\n",
        "places365_val": "0.png 0\n",
    }
    for name, text in lists.items():
        (data / "places365" / f"{name}.txt").write_text(text)
    picture(data / "coco" / "train2017" / "0.png")
    picture(data / "coco" / "val2017" / "0.png")
    (data / "coco" / "annotations").mkdir()
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0}
    listed = {
        "images": [{"id": 1, "file_name": "0.png", "height": 8, "width": 8}],
        "annotations": [{**box, "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (data / "coco" / "annotations" / "instances_train2017.json").write_text(json.dumps(listed))
    (data / "ade20k" / "ADEChallengeData2016").mkdir(parents=True)
    picture(data / "secret" / "train" / "0.png")
    (data / "secret").chmod(0)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((8, 8), 60).convert("RGB").save(path)


def size(root: Path, **counts: int) -> None:
    root.mkdir(exist_ok=True)
    (root / "demo.json").write_text(json.dumps(counts))


def _plant_weights() -> None:
    torch.save({"model": {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}}, "resnet.pth")
    Backbone.load("random:vit_demo").save(Path("small"))


def _plant_suite(bench: Bench) -> None:
    Path("tasks", "recipes").mkdir(parents=True)
    Path("tasks", "recipes", "quick.yaml").write_text("protocol: {}\n")
    engined = (
        "version: 1\ntitle: x\nadapter: counting:Counting\nmetrics: [a]\nengine: [no_such_engine, broken_engine]\n"
    )
    Path("tasks", "broken_engine.py").write_text("raise ImportError('undefined symbol')")
    Path("tasks", "engined.yaml").write_text(engined)
    names = ("imagenet_finetune", "inat19", "places365", "coco_vitdet", "ade20k_upernet")
    content = bench.suite_content({**dict.fromkeys(names, "demo"), "imagenet_linear": "huge", "engined": "quick"})
    weights = {"missing": "nowhere.pth", "other": "resnet.pth", "wrong": "small"}
    content["backbones"] = {name: {"source": source, "arch": "vit_b16"} for name, source in weights.items()}
    content["backbones"]["ours"] = {"pretrain": "demo_crossmae"}
    bench.write_suite({**content, "data": "real"})
    options = BenchmarkOptions.of("suite.yaml", Path("out"), None, None, None, None, [TASKS, Path("tasks")])
    _, runs, _ = options.load(note=lambda error: None)
    write_expected(Path("out"), {runs[0].identity: Expected(1.0, 2**50)})
