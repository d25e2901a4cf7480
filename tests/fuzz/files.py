"""Readers of weights, images and labelled data."""

import io
import json
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from crossmae.backbone import Backbone
from crossmae.data.decode import read_rgb
from crossmae.data.images import digest_of_bytes
from crossmae.data.open import open_images
from crossmae.data.staging.forms import Form
from crossmae.data.staging.manifest import INDEX, MANIFEST, NAMES, index_digest, note_path, part_path, read_part
from crossmae.data.staging.stage import Staging
from crossmae.model.autoencoder import MaskedAutoencoder
from crossmae.model.config import MAEConfig
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.checkpoint.state_file import states
from crossmae.train.runtime.distributed import World
from crossmae.weights.checkpoint import save_checkpoint
from crossmae.weights.huggingface.folder import IMAGES
from crossmae.weights.layouts.released import to_official
from crossmae.weights.sources import load_pretrained
from tests.fuzz.targets import Make, Target, remove
from tests.support.hf_folders import FOLDERS
from tests.support.vit_files import distributed
from transfer.datasets.layouts import reader_of

CONFIG = MAEConfig(
    image_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2, decoder_embed_dim=8, decoder_depth=1,
    decoder_num_heads=2,
)  # fmt: skip
GIVEN: dict[str, Any] = {"mask_ratio": 0.75, "prediction_ratio": 0.25, "norm_pix_loss": True}


def picture(kind: str = "PNG", mode: str = "RGB", side: int = 16) -> bytes:
    """A small picture."""
    noise = np.random.default_rng(side).integers(0, 4, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, kind)
    return file.getvalue()


def _torch(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _weights(form: Callable[[dict[str, Any]], bytes], name: str) -> Make:
    def make(folder: Path) -> Target:
        state, path = MaskedAutoencoder(CONFIG).state_dict(), folder / name

        def read() -> None:
            Backbone.load(str(path), num_heads=2)
            load_pretrained(
                path, num_heads=2, decoder_num_heads=2, mask_ratio=0.75, prediction_ratio=0.25, norm_pix_loss=True
            )

        return Target(folder, [form(state)], read, path)

    return make


def _checkpoint_config(folder: Path) -> Target:
    save_checkpoint(MaskedAutoencoder(CONFIG), folder / "c", {})
    path = folder / "c" / "config.json"

    def read() -> None:
        Backbone.load(str(folder / "c"))
        load_pretrained(folder / "c")

    return Target(folder, [path.read_bytes()], read, path)


def _distributed(pattern: str, folder: Path) -> Target:
    source, _ = distributed(folder)
    (path,) = folder.glob(pattern)
    return Target(folder, [path.read_bytes()], lambda: Backbone.load(source), path)


def _hugging_face(name: str, folder: Path) -> Target:
    FOLDERS["transformers DINOv3"](folder)
    (folder / IMAGES).write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}')
    return Target(folder, [(folder / name).read_bytes()], lambda: Backbone.load(f"hf:{folder}"), folder / name)


def _states(name: str, folder: Path) -> Target:
    manager = CheckpointManager(folder, World(0, 1, torch.device("cpu")))
    model = torch.nn.Linear(3, 2)
    identity = {"plan": {"lr": 1e-3}, "samples": 3}
    manager.restore(identity, lambda _: None)
    manager.save(3, {"model": model.state_dict(), "history": [{"loss": 1.0}], "last": {}})
    (state,) = states(manager.folder)
    place = manager.folder / name if name else state.path

    def read() -> None:
        if (
            not name and place.is_file() and place.stat().st_size < 10**6
        ):  # a forger gives the file the name that its content asks for
            place.rename(manager.folder / f"step-00000003.{digest_of_bytes(place)[:16]}.pt")
        manager.restore(identity, lambda loaded: model.load_state_dict(loaded["model"]))

    def restore() -> None:
        for old in () if name else manager.folder.glob("step-*"):
            remove(old)

    return Target(folder, [place.read_bytes()], read, place, restore)


def _image(folder: Path) -> Target:
    path = folder / "image.jpg"
    kinds = [picture(kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")]
    return Target(folder, [*kinds, picture("PNG", "P"), picture("JPEG", "CMYK")], lambda: read_rgb(path), path)


def _read_all(root: Path) -> None:
    images = open_images(root)
    for index in range(min(len(images), 20)):
        images.read(index)


def _shard(folder: Path) -> Target:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"{number:0100d}.png")
            member.size = len(picture())
            tar.addfile(member, io.BytesIO(picture()))
    return Target(folder, [file.getvalue()], lambda: _read_all(folder), folder / "a.tar")


def _list(folder: Path) -> Target:
    (folder / "a.png").write_bytes(picture())
    path = folder / "list.txt"
    return Target(folder, [b"a.png\nb.png\n"], lambda: _read_all(path), path)


def _cache(name: str, folder: Path) -> Target:
    for number in range(3):
        (folder / "source" / "train").mkdir(parents=True, exist_ok=True)
        (folder / "source" / "train" / f"{number}.png").write_bytes(picture())
    cache = folder / "cache"
    Staging(folder / "source", cache, Form("raw", 8), processes=0).run()
    manifest = (cache / MANIFEST).read_bytes()

    def read() -> None:
        path = cache / name
        if (
            name != MANIFEST and path.is_file() and path.stat().st_size < 10**6
        ):  # a forger writes the digest that the content asks for
            forged = {**json.loads(manifest), "index": index_digest(cache)}
            (cache / MANIFEST).write_text(json.dumps(forged))
        _read_all(cache)

    return Target(folder, [(cache / name).read_bytes()], read, cache / name)


def _note(folder: Path) -> Target:
    path = part_path(folder, 0)
    path.write_bytes(b"1234")
    sound = {"places": [[0, 4, 0, 0]], "digest": "a", "changed": 0, "unreadable": [["a.png", "empty"]]}
    return Target(folder, [json.dumps(sound).encode()], lambda: read_part(folder, 0), note_path(path))


def _labelled(reader: str, name: str, sound: bytes, others: dict[str, bytes], folder: Path) -> Target:
    for place, content in others.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)

    def read() -> None:
        list(reader_of({"reader": reader}).check(folder))
        reader_of({"reader": reader}).fingerprint(folder)
        train, _ = reader_of({"reader": reader}).read_both(folder)
        assert train.fingerprint

    return Target(folder, [sound], read, folder / name)


_INAT = json.dumps(
    {
        "images": [{"id": 3, "file_name": "i/a.png", "width": 16, "height": 16}],
        "annotations": [{"id": 1, "image_id": 3, "category_id": 5}],
        "categories": [{"id": 5, "name": "Daisy"}],
    }
).encode()
_PLACES = {
    "categories_places365.txt": b"/a/airfield 0\n/b/bar 1\n",
    "places365_train_standard.txt": b"/a/airfield/1.png 0\n/b/bar/1.png 1\n",
    "places365_val.txt": b"v1.png 1\nv2.png 0\n",
    "data_256/a/airfield/1.png": picture(),
    "val_256/v1.png": picture(),
}

_LIST = b"file,label,split\ni/a.png,daisy,train\ni/b.png,rose,train\ni/c.png,daisy,val\ni/d.png,rose,val\n"

FILES: dict[str, Make] = {
    "weights-pth": _weights(lambda state: _torch({"model": to_official(state)}), "w.pth"),
    "weights-safetensors": _weights(lambda state: save(to_official(state)), "w.safetensors"),
    "checkpoint-config": _checkpoint_config,
    "distributed-metadata": partial(_distributed, ".metadata"),
    "distributed-part": partial(_distributed, "*.distcp"),
    "hf-config": partial(_hugging_face, "config.json"),
    "hf-images": partial(_hugging_face, IMAGES),
    "state": partial(_states, ""),
    "state-identity": partial(_states, "identity.json"),
    "image": _image,
    "shard": _shard,
    "list": _list,
    "cache-manifest": partial(_cache, MANIFEST),
    "cache-index": partial(_cache, INDEX),
    "cache-names": partial(_cache, NAMES),
    "cache-note": _note,
    "inat19": partial(_labelled, "inat19", "train2019.json", _INAT, {"val2019.json": _INAT, "i/a.png": picture()}),
    "demo-size": partial(
        _labelled, "inat19", "demo.json", b'{"classes": 1, "train": 1, "val": 1}',
        {"train2019.json": _INAT, "val2019.json": _INAT, "i/a.png": picture()},
    ),
    "own-list": partial(_labelled, "own", "labels.csv", _LIST, {f"i/{name}.png": picture() for name in "abcd"}),
    **{
        f"places-{name.split('_')[-1].removesuffix('.txt')}": partial(_labelled, "places365", name, content, _PLACES)
        for name, content in _PLACES.items() if name.endswith(".txt")
    },
}  # fmt: skip
