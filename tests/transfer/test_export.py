"""``transfer export``: what others get is read back as it was, and says where it comes from."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.weights.files import read_weights
from tests.support.runs import RunFolder
from transfer.classification.job import save
from transfer.cli import app
from transfer.commands.export import export_run, upload

HOSTILE = "mae\n---\n# [x](javascript:1) <script>```"


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A pretraining whose backbone two runs have measured; a third has measured another one."""
    made = RunFolder(tmp_path / "runs")
    run = made.record("pretrain", "mae", 0, {"loss": 0.5}, recipe_hash="p0", deviations=[HOSTILE])
    identity = json.loads((run / "record.json").read_text())["identity"]
    Backbone.load("random:vit_demo").save(run / "checkpoint")
    made.record("inat19", "mae", 0, {"top1": 61.5, "top5": 80.0}, pretraining_run=identity)
    made.record("coco_vitdet", "mae", 0, {"box_ap": 30.0}, pretraining_run=identity)
    made.record("inat19", "other", 0, {"top1": 1.0}, pretraining_run="another")
    return run


def test_a_backbone_is_read_back_with_equal_features(pretrained: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(pretrained), str(tmp_path / "mine")], catch_exceptions=False)
    assert done.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    images = torch.rand(2, 3, 64, 64)
    expected = Backbone.load("random:vit_demo").features().eval()(images)
    backbone = Backbone.load(tmp_path / "mine")
    assert torch.equal(backbone.features().eval()(images).pooled, expected.pooled)


def test_the_card_has_the_numbers_as_the_hub_reads_them(pretrained: Path, tmp_path: Path) -> None:
    export_run(pretrained, tmp_path / "mine", pretrained.parents[2], "me/mine")
    card: Any = ModelCard((tmp_path / "mine" / "README.md").read_text())
    found = {(one.task_type, one.dataset_type, one.metric_type): one.metric_value for one in card.data.eval_results}
    assert found == {
        ("image-classification", "inat19", "top1"): 61.5,
        ("image-classification", "inat19", "top5"): 80.0,
        ("object-detection", "coco", "box_ap"): 30.0,
    }
    assert 'Backbone.load(snapshot_download("me/mine"))' in card.text
    assert "run_all --suite demo" in card.text
    assert "node17" not in card.text  # A machine's name is nobody's business.


def test_words_of_a_record_are_text_in_the_card(pretrained: Path, tmp_path: Path) -> None:
    export_run(pretrained, tmp_path / "mine", pretrained.parents[2], None)
    text = (tmp_path / "mine" / "README.md").read_text()
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(head)["model-index"][0]["name"] == "mine"
    assert "\n- mae --- # \\[x\\](javascript:1) &lt;script>\\`\\`\\`\n" in body


def test_a_classifier_is_read_back_as_it_was(tmp_path: Path) -> None:
    backbone = Backbone.load("random:vit_demo")
    made = RunFolder(tmp_path / "runs")
    run = made.record("inat19", "mae", 0, {"top1": 50.0}, artifacts={"classifier": "classifier.safetensors"})
    save(backbone.to_timm(5), backbone.about, run / "classifier.safetensors")
    export_run(run, tmp_path / "mine", made.out, None)
    was, now = (read_weights(path) for path in (run / "classifier.safetensors", tmp_path / "mine/model.safetensors"))
    assert was.arguments == now.arguments
    assert was.weights.keys() == now.weights.keys()
    assert all(torch.equal(was.weights[name], now.weights[name]) for name in was.weights)
    assert json.loads((tmp_path / "mine" / "config.json").read_text())["task"]["name"] == "inat19"


def test_what_cannot_be_exported_is_one_line(pretrained: Path, tmp_path: Path) -> None:
    other = next(pretrained.parents[2].glob("inat19/mae/*"))
    with pytest.raises(UserError, match="holds 0 finished models"):
        export_run(other, tmp_path / "new", pretrained.parents[2], None)
    with pytest.raises(UserError, match="is not empty"):
        export_run(pretrained, pretrained, pretrained.parents[2], None)
    with pytest.raises(UserError, match="No such file"):
        export_run(tmp_path / "nothing", tmp_path / "new", tmp_path, None)


@dataclass
class Hub:
    """What a stand-in of the hub was sent."""

    address: str
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)


@contextmanager
def hub(refuses: bool = False) -> Iterator[Hub]:
    """A server that takes a repository and a commit as huggingface.co does, or refuses with what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            token = self.headers["Authorization"]
            received.tokens.add(token)
            self._answer(
                {"error": f"no right for {token}"} if refuses else self._take(content), 403 if refuses else 200
            )

        def do_GET(self) -> None:
            self._answer({}, 404)

        def _take(self, content: bytes) -> dict[str, Any]:
            if "preupload" in self.path:
                names = [file["path"] for file in json.loads(content)["files"]]
                return {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
            if "/commit/" in self.path:
                files = [line["value"] for line in map(json.loads, content.splitlines()) if line["key"] == "file"]
                received.files.update({file["path"]: base64.b64decode(file["content"]) for file in files})
                return {"commitUrl": f"{received.address}/me/mine/commit/abc", "commitOid": "abc"}
            return {"url": f"{received.address}/me/mine"}

        def _answer(self, content: dict[str, Any], status: int) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Hub(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield received
        server.shutdown()


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return "hf_secret"


def point_to(received: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", received.address)
    monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", received.address, raising=False)


def test_the_hub_gets_the_folder_and_no_more(
    pretrained: Path, tmp_path: Path, signed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub() as received:
        point_to(received, monkeypatch)
        command = ["export", str(pretrained), str(tmp_path / "mine"), "--repo", "me/mine"]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert f"sent to {received.address}/me/mine" in done.output
    assert signed_in not in done.output
    assert received.tokens == {f"Bearer {signed_in}"}
    assert received.files == {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}


def test_a_refusal_is_one_line_without_the_token(
    tmp_path: Path, signed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub(refuses=True) as received:
        point_to(received, monkeypatch)
        with pytest.raises(UserError, match="could not be written") as refused:
            upload(tmp_path, "me/mine", private=True)
    assert "no right for" in str(refused.value)
    assert signed_in not in str(refused.value)
    assert "\n" not in str(refused.value)
