"""Weight files that are damaged, something else, or made to fill the memory: one line each, and nothing is run."""

import argparse
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from crossmae.backbone import Backbone
from crossmae.errors import UserError
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.weights.checkpoint import save_checkpoint
from crossmae.weights.export import export
from crossmae.weights.files import write_torch, write_weights
from crossmae.weights.layouts.released import to_official
from crossmae.weights.sources import load_pretrained
from crossmae.weights.spec import count_blocks

CONFIG = MAEConfig(
    image_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, decoder_embed_dim=16, decoder_depth=1,
    decoder_num_heads=2,
)  # fmt: skip
GIVEN: dict[str, Any] = {
    "num_heads": 2, "decoder_num_heads": 2, "mask_ratio": 0.75, "prediction_ratio": 0.25, "norm_pix_loss": True,
}  # fmt: skip
MARK = "was-here"


class Attack:
    """Makes a folder when an ordinary unpickler reads it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (MARK,)


class Kind:
    """A type of numpy's that takes a gigabyte."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, ("V1000000000",)


class Gigabyte:
    """A number of that type, as numpy writes one without its content."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.float64(0).__reduce__()[0], (Kind(),)


def weights() -> dict[str, Tensor]:
    return to_official(MaskedAutoencoder(CONFIG).state_dict())


def saved(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def changed(**tensors: Any) -> bytes:
    """A ``.pth`` with some weights replaced; names with two underscores for each dot, None for one that is left out."""
    replaced = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    return saved({name: tensor for name, tensor in {**weights(), **replaced}.items() if tensor is not None})


def tensors(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def zipped(entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def repacked() -> bytes:
    with zipfile.ZipFile(io.BytesIO(saved({"a": torch.zeros(1_000_000)}))) as archive:
        return zipped({name: archive.read(name) for name in archive.namelist()}, zipfile.ZIP_DEFLATED)


def laughs() -> list[Any]:
    value: list[Any] = ["ha"]
    for _ in range(60):
        value = [value, value]
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200):
        value = [value]
    return value


def scripted() -> bytes:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer := io.BytesIO())
    return buffer.getvalue()


def numpy_archive() -> bytes:
    np.savez(buffer := io.BytesIO(), kernel=np.zeros(3))
    return buffer.getvalue()


def nested(levels: int) -> dict[str, Any]:
    return {"model": nested(levels - 1)} if levels else {**weights()}


def wide() -> dict[str, Any]:
    value: dict[str, Any] = {"a": torch.zeros(1)}
    for _ in range(4):
        value = {f"key {i}": value for i in range(100)}
    return value


def entry(kind: str = "F32", shape: list[int] | None = None, offsets: list[int] | None = None) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape or [1], "data_offsets": offsets or [0, 4]}


WHOLE = saved(weights())
PTH: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x80",
    "cut at the head": lambda: WHOLE[:10],
    "cut in the pickle": lambda: WHOLE[:200],
    "cut in the middle": lambda: WHOLE[: len(WHOLE) // 2],
    "cut at the end": lambda: WHOLE[:-20],
    "zeros": lambda: bytes(1000),
    "wrong magic": lambda: b"XX" + WHOLE[2:],
    "git-lfs pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "ONNX": lambda: b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:",
    "TorchScript": scripted,
    "NumPy archive": numpy_archive,
    "web page": lambda: b"\n<!DOCTYPE html><html><body>404</body></html>",
    "json": lambda: b'{"a": 1}',
    "zip without data.pkl": lambda: zipped({"readme.txt": b"hello"}),
    "zip with an empty data.pkl": lambda: zipped({"archive/data.pkl": b"", "archive/version": b"3\n"}),
    "zip of a pickle bomb": lambda: zipped({"archive/data.pkl": b"\x80\x02" + b"(" * 10**5, "archive/version": b"3"}),
    "zip bomb": repacked,
    "pickle": lambda: pickle.dumps({"a": 1}),
    "pickle, protocol 2": lambda: pickle.dumps({"a": 1}, 2),
    "pickle, protocol 0": lambda: pickle.dumps({"a": 1}, 0),
    "attack": lambda: saved({"model": weights(), "args": Attack()}),
    "attack, old form": lambda: saved({"model": Attack()}, _use_new_zipfile_serialization=False),
    "attack, plain pickle": lambda: pickle.dumps(Attack()),
    "attack, protocol 0": lambda: pickle.dumps(Attack(), 0),
    "old form, cut": lambda: saved(weights(), _use_new_zipfile_serialization=False)[:-50],
    "list": lambda: saved([torch.zeros(3)]),
    "tensor": lambda: saved(torch.zeros(3)),
    "number": lambda: saved(3),
    "nothing": lambda: saved(None),
    "empty mapping": lambda: saved({}),
    "nested too deep": lambda: saved(nested(6)),
    "dictionaries that repeat": lambda: saved(wide()),
    "number of a gigabyte": lambda: saved({"model": weights(), "loss": Gigabyte()}),
    "registers of another width": lambda: changed(reg_token=torch.zeros(1, 3000, 1)),
    "names that are numbers": lambda: saved({1: torch.zeros(2), "1": torch.ones(2)}),
    "names twice": lambda: saved({"module.a": torch.zeros(2), "a": torch.ones(2)}),
    "not a number": lambda: changed(cls_token=torch.full((1, 1, 16), float("nan"))),
    "infinite": lambda: changed(norm__weight=torch.full((16,), float("inf")), norm__bias=torch.zeros(16)),
    "integers": lambda: changed(cls_token=torch.zeros(1, 1, 16, dtype=torch.int8)),
    "complex": lambda: changed(cls_token=torch.zeros(1, 1, 16, dtype=torch.complex64)),
    "sparse": lambda: changed(cls_token=torch.zeros(1, 1, 16).to_sparse()),
    "meta": lambda: changed(cls_token=torch.zeros(1, 1, 16, device="meta")),
    "quantized": lambda: changed(cls_token=torch.quantize_per_tensor(torch.zeros(1, 1, 16), 0.1, 0, torch.qint8)),
    "150 GB of stride 0": lambda: changed(cls_token=torch.zeros(1).expand(40, 10**9)),
    "many names of one memory": lambda: saved(dict.fromkeys([f"blocks.0.{i}" for i in range(999)], torch.ones(10**5))),
    "block 40,000,000": lambda: changed(blocks__40000000__norm1__weight=torch.zeros(16)),
    "block of 5,000 digits": lambda: changed(**{f"blocks__{'9' * 5000}__norm1__weight": torch.zeros(16)}),
    "no dimensions": lambda: changed(patch_embed__proj__weight=torch.tensor(1.0)),
    "no size": lambda: changed(patch_embed__proj__weight=torch.zeros(16, 3, 0, 0)),
    "no positions": lambda: changed(pos_embed=torch.zeros(1, 0, 16)),
    "no square of positions": lambda: changed(pos_embed=torch.zeros(1, 8, 16)),
    "registers of no dimension": lambda: changed(reg_token=torch.tensor(1.0)),
    "flat MLP": lambda: changed(blocks__0__mlp__fc1__weight=torch.zeros(64)),
    "no MLP": lambda: changed(blocks__0__mlp__fc1__weight=None),
    "flat mixing": lambda: changed(wfm__linear__weight=torch.zeros(3)),
    "options that repeat": lambda: saved({"model": weights(), "crossmae_config": laughs()}),
    "options without end": lambda: saved({"model": weights(), "args": argparse.Namespace(mask_ratio=deep(), model=1)}),
    "options of wrong types": lambda: saved(
        {"model": weights(), "args": argparse.Namespace(mask_ratio="x", model=[1], cross_mae=3)}
    ),
    "configuration of wrong types": lambda: saved({"model": weights(), "crossmae_config": {"depth": "x", "a": 1}}),
    "specification of wrong types": lambda: saved({"model": weights(), "crossmae_backbone": {"depth": 1}}),
}  # fmt: skip
SAFETENSORS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "header alone": lambda: tensors({}),
    "cut": lambda: tensors({"a": entry()}, b"12"),
    "absurd length": lambda: tensors({"a": entry()}, b"1234", 2**63),
    "length beyond the file": lambda: tensors({"a": entry()}, b"1234", 10**6),
    "no json": lambda: tensors(b"{nonsense", b"1234"),
    "list": lambda: tensors(b"[1, 2]", b"1234"),
    "deep": lambda: tensors(b'{"a":' * 100_000, b"1234"),
    "out of range": lambda: tensors({"a": entry(offsets=[0, 400])}, b"1234"),
    "backwards": lambda: tensors({"a": entry(offsets=[4, 0])}, b"1234"),
    "overlapping": lambda: tensors({"a": entry(), "b": entry()}, b"1234"),
    "negative": lambda: tensors({"a": entry(shape=[-1], offsets=[-4, 0])}, b"1234"),
    "huge": lambda: tensors({"a": entry(shape=[2**62, 0])}, b"1234"),
    "overflow": lambda: tensors({"a": entry(shape=[2**32, 2**32, 2**32])}, b"1234"),
    "unknown type": lambda: tensors({"a": entry("F99")}, b"1234"),
    "name twice": lambda: tensors(b'{"a":%b,"a":%b}' % (2 * (json.dumps(entry()).encode(),)), b"1234"),
    "metadata of numbers": lambda: tensors({"__metadata__": {"a": 1}, "b": entry()}, b"1234"),
    "specification of nonsense": lambda: tensors({"__metadata__": {"crossmae_backbone": "{"}, "b": entry()}, b"1234"),
    "configuration without end": lambda: tensors(
        {"__metadata__": {"crossmae_config": "[" * 10**5}, "b": entry()}, b"1234"
    ),
    "pickle inside": lambda: pickle.dumps(Attack(), 2),
}  # fmt: skip
CORPUS = {
    f"{kind}.{suffix}": make
    for suffix, kinds in (("pth", PTH), ("safetensors", SAFETENSORS))
    for kind, make in kinds.items()
}


def refusal(load: Callable[[], object]) -> UserError | None:
    try:
        load()
    except UserError as error:
        return error
    return None


@pytest.mark.parametrize("name", CORPUS)
def test_a_malformed_file_is_one_line_with_a_remedy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Set by people whose old code needs it; it must not reach what is read here.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = tmp_path / f"weights.{name.rpartition('.')[2]}"
    path.write_bytes(CORPUS[name]())
    outcomes = [refusal(lambda: Backbone.load(path, num_heads=2)), refusal(lambda: load_pretrained(path, **GIVEN))]
    for error in filter(None, outcomes):
        assert str(path) in error.what
        assert error.remedy
        assert "\n" not in str(error)
    # What lies next to sound weights and is not asked for does no harm; a norm more is no fault of an encoder.
    assert all(outcomes) or name.startswith(("options", "configuration", "specification", "infinite", "flat mixing"))
    assert not (tmp_path / MARK).exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty.pth", "is empty"),
        ("git-lfs pointer.pth", "git lfs pull"),
        ("web page.pth", "web page"),
        ("ONNX.pth", "ONNX"),
        ("TorchScript.pth", "TorchScript archive, which holds code; none of it was run"),
        ("NumPy archive.pth", "archive of NumPy's"),
        ("cut in the middle.pth", "damaged"),
        ("zip bomb.pth", "compressed"),
        ("150 GB of stride 0.pth", "cls_token is larger than the file"),
        ("dictionaries that repeat.pth", "20000 entries"),
        ("not a number.pth", "infinite or not a number: cls_token"),
        ("integers.pth", "no floating-point numbers: cls_token of torch.int8"),
        ("registers of another width.pth", "widths"),
        ("attack.pth", "holds code or objects"),
    ],
)
def test_the_line_says_what_the_file_is(name: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(CORPUS[name]())
    with pytest.raises(UserError, match=says):
        Backbone.load(tmp_path / "weights.pth", num_heads=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_checkpoint(MaskedAutoencoder(CONFIG), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 10**8},
        {"decoder_depth": 10**8},
        {"embed_dim": 2**40},
        {"image_size": 8 * 10**9},
        {"num_heads": 10**9},
        {"depth": "x"},
        {"unknown": 1},
    ],
)
def test_a_configuration_is_held_against_its_weights(change: dict[str, Any], folder: Path) -> None:
    content = json.loads((folder / "config.json").read_text())
    content["model"] |= change
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="run") as refused:
        load_pretrained(folder)
    assert refused.value.remedy


@pytest.mark.parametrize(
    "change",
    [{"depth": 10**8}, {"embed_dim": 2**62}, {"image_size": 2**62}, {"mlp_ratio": 1e308}, {"num_registers": 2**62}],
)
def test_a_specification_is_held_against_its_weights(change: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    Backbone.load(folder).save(tmp_path / "backbone")
    path = tmp_path / "backbone" / "config.json"
    content = json.loads(path.read_text())
    content["backbone"] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="backbone"):
        Backbone.load(tmp_path / "backbone")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"format": "crossmae.autoencoder"}', b"[" * 10**6])
def test_a_damaged_configuration_is_one_line(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    for load in (load_pretrained, Backbone.load):
        with pytest.raises(UserError, match=r"config\.json"):
            load(folder)


def test_a_pipe_as_weights_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.pth")
    for load in (load_pretrained, Backbone.load):
        with pytest.raises(UserError, match=r"weights\.pth"):
            load(tmp_path / "weights.pth")


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(changed(blocks__40000000__norm1__weight=torch.zeros(16)))
    program = f"from crossmae.backbone import Backbone\nBackbone.load({str(tmp_path / 'a.pth')!r}, num_heads=2)"
    limit = 16 * 2**30
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=False, timeout=100,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert "block 40000000 among" in result.stderr.splitlines()[-1]


def test_a_file_is_read_by_what_it_holds_not_by_its_name(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.safetensors"):
        export(str(folder), tmp_path / "timm.pth", "timm")
    save_file(weights(), tmp_path / "really.pth")
    (tmp_path / "really.safetensors").write_bytes(WHOLE)
    for name in ("really.pth", "really.safetensors"):
        assert load_pretrained(tmp_path / name, **GIVEN).config == CONFIG


@pytest.mark.parametrize("number", ["40000000", "3"])
def test_there_are_no_more_blocks_than_weights(number: str) -> None:
    with pytest.raises(UserError, match=f"block {number} among 2"):
        count_blocks(
            {"blocks.0.norm1.weight": torch.ones(1), f"blocks.{number}.norm1.weight": torch.ones(1)}, "blocks."
        )


@pytest.mark.parametrize("write", [write_weights, write_torch])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(write: Callable[..., None], tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r"cannot be written.*free some space"):
            write({"a": torch.zeros(10_000)}, tmp_path / "weights")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
