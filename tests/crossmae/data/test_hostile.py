"""Folders, lists, shards and images that were made to hang, to mislead or to run something."""

import io
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image, UnidentifiedImageError

from crossmae.commands import data as commands
from crossmae.data.decode import UnreadableImage, allow_known_formats_only, read_rgb
from crossmae.data.names import Names
from crossmae.data.open import open_images
from crossmae.data.pictures import open_picture
from crossmae.data.samples import MemorySamples, Views
from crossmae.data.staging.cache import open_cache
from crossmae.data.staging.forms import Form
from crossmae.data.staging.manifest import index_digest
from crossmae.data.staging.stage import Staging
from crossmae.errors import UserError
from crossmae.pretraining.workload import Unreadable


def encoded(kind: str = "PNG", value: int = 7, mode: str = "RGB", side: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side), value).save(stream, kind)
    return stream.getvalue()


def tar_of(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def with_size(content: bytes, size: int) -> bytes:
    """The tar ``content`` whose first member claims another size, in the base-256 form that has a sign."""
    head = bytearray(content[:512])
    head[124:136] = size.to_bytes(12, "big", signed=True)
    if size >= 0:
        head[124] |= 0x80
    head[148:156] = b" " * 8
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return bytes(head) + content[512:]


def command(*words: str | Path, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "crossmae", *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_shards_are_read_whole(form: int, tmp_path: Path) -> None:
    name = f"{'n' * 70}/{'o' * 90}/größe.png"
    (tmp_path / "a.tar").write_bytes(tar_of({"0.png": encoded(), name: encoded(value=9)}, form))

    images = open_images(tmp_path)
    assert [images.relative(index) for index in range(len(images))] == ["a.tar/0.png", f"a.tar/{name}"]
    assert np.asarray(read_rgb(images.read(1)))[0, 0, 0] == 9


def test_a_stray_archive_next_to_images_changes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "images"
    (source / "train" / "a").mkdir(parents=True)
    for number in range(10):
        (source / "train" / "a" / f"{number}.png").write_bytes(encoded())
    (source / "train" / "a.tar").write_bytes(tar_of({"0.png": encoded(), "1.png": encoded()}))

    assert len(open_images(source)) == 10
    assert Staging(source, tmp_path / "cache", Form("jpeg", 400), processes=0).run().plan.images == 10


def test_links_in_circles_show_every_image_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(encoded())
    for name in ("here", "again"):
        (tmp_path / "a" / name).symlink_to(".")
        (tmp_path / "a" / f"up_{name}").symlink_to(tmp_path)
    assert len(open_images(tmp_path)) == 1
    # A folder under two names is no circle: its images are there twice, as before.
    (tmp_path / "b").symlink_to("a")
    assert len(open_images(tmp_path)) == 2


def test_a_maze_of_links_is_refused(tmp_path: Path) -> None:
    for name in "abcdefghij":
        (tmp_path / name).mkdir()
    for name in "abcdefghij":
        for other in set("abcdefghij") - {name}:
            (tmp_path / name / other).symlink_to(f"../{other}")
    with pytest.raises(UserError, match="remove symbolic links"):
        open_images(tmp_path)


@pytest.mark.parametrize("content", ["float", "integer"])
def test_pixels_of_32_bits_are_refused_rather_than_black(content: str, tmp_path: Path) -> None:
    values = np.linspace(0, 1, 64).reshape(8, 8)
    pixels = values.astype(np.float32) if content == "float" else (values * 255).astype(np.int32)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImage, match="convert it to 8 or 16 bits"):
        read_rgb(tmp_path / "a.tif")


def test_nothing_but_images_is_decoded_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "was-here"
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {mark}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "photo.jpg").write_bytes(page)
    for source in (tmp_path / "photo.jpg", page):
        for read in (read_rgb, lambda given: open_picture(given, exact=False)):
            with pytest.raises(UnreadableImage, match="none of JPEG"):
                read(source)
    assert not mark.exists()
    # Nor where an engine calls Pillow itself, once a run of it has begun.
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    allow_known_formats_only()
    with pytest.raises(UnidentifiedImageError):
        Image.open(tmp_path / "photo.jpg")
    assert Image.open(io.BytesIO(encoded("JPEG"))).size == (8, 8)


def test_a_bomb_is_refused_by_its_head_in_both_decoders() -> None:
    # A JPEG's head says its size; nothing of 200 million pixels is decoded.
    content = bytearray(encoded("JPEG"))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 15_000, 15_000)
    for exact in (True, False):
        with pytest.raises(UnreadableImage, match="225000000 pixels"):
            open_picture(bytes(content), exact)


@pytest.fixture
def pipes(tmp_path: Path) -> Path:
    """A folder of two images and a pipe that nobody writes to."""
    (tmp_path / "images").mkdir()
    for number in range(2):
        (tmp_path / "images" / f"{number}.png").write_bytes(encoded())
    os.mkfifo(tmp_path / "images" / "x.jpg")
    return tmp_path / "images"


def test_a_pipe_is_one_more_image_that_cannot_be_read(pipes: Path, tmp_path: Path) -> None:
    result = command("check-data", pipes)
    assert result.returncode == 1
    assert result.stdout.splitlines() == [f"{pipes / 'x.jpg'}: [Errno 22] no regular file: '{pipes / 'x.jpg'}'"]

    result = command("stage", pipes, tmp_path / "cache")
    assert result.returncode == 0
    assert "1 images cannot be read" in result.stdout
    with pytest.raises(UnreadableImage, match="no regular file"):
        open_picture(pipes / "x.jpg", exact=False)


@pytest.mark.parametrize("name", ["a.tar", "list.txt"])
def test_a_pipe_as_data_is_one_line(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    result = command("check-data", tmp_path if name == "a.tar" else tmp_path / name)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert name in result.stderr


def test_no_worker_survives_its_command() -> None:
    program = (
        "import time\nfrom crossmae.data.parallel import on_all_cores\n"
        "list(on_all_cores(lambda number: time.sleep(1000), [0, 1], 'Waiting', 2))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while len(workers := psutil.Process(process.pid).children(recursive=True)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.5)  # both have asked to be ended
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
    finally:
        process.kill()


SHARDS: dict[str, Callable[[], bytes]] = {
    "negative size": lambda: with_size(tar_of({"0.png": encoded()}), -1024),
    "enormous size": lambda: with_size(tar_of({"0.png": encoded()}), 2**70),
    "negative length of a long name": lambda: with_size(tar_of({"n" * 300 + ".png": b""}, tarfile.GNU_FORMAT), -512),
    "enormous length of a long name": lambda: with_size(tar_of({"n" * 300 + ".png": b""}, tarfile.GNU_FORMAT), 2**60),
    "truncated": lambda: tar_of({"0.png": encoded(side=500), "1.png": encoded()})[:900],
    "damaged in the middle": lambda: tar_of({"0.png": b"1"})[:1024] + b"x" * 1024,
    "gzip": lambda: b"\x1f\x8b\x08" + bytes(600),
    "empty": lambda: b"",
    "text": lambda: b"<html>" * 200,
    "link": lambda: link(),
    "numbers without end": lambda: b"a".ljust(100, b"\0") + b"9" * 412,
}


def link() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("0.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    return stream.getvalue()


@pytest.mark.parametrize("kind", SHARDS)
def test_a_shard_that_is_no_sound_tar_is_one_line(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(SHARDS[kind]())
    with pytest.raises(UserError, match=r"a\.tar") as refused:
        open_images(tmp_path)
    assert refused.value.remedy
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    name = b"gr\xf6\xdfe.png".decode("utf-8", "surrogateescape")
    (tmp_path / "a.tar").write_bytes(tar_of({name: encoded(), "1.png": b"broken"}, tarfile.GNU_FORMAT))
    images = open_images(tmp_path)
    assert images.relative(0) == f"a.tar/{name}"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / name).write_bytes(b"broken")
    for data in (tmp_path, tmp_path / "b"):
        assert command("check-data", data).returncode == 1


LISTS = {
    "image.png": encoded(),
    "one.tar": tar_of({"0.png": encoded()}),
    "binary.txt": bytes(100),
    "long.txt": b"x" * 5000,
    "table.csv": b"name,label\na,1\n",
    "content.json": b'{"images": []}\n',
    "empty.txt": b"\n\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_what_is_no_list_of_images_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(LISTS[name])
    with pytest.raises(UserError, match=name) as refused:
        open_images(tmp_path / name)
    assert refused.value.remedy


def test_a_list_written_elsewhere_is_read(tmp_path: Path) -> None:
    (tmp_path / "gr\udcf6sse.png").write_bytes(encoded())
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfgr\xf6sse.png\r\n\r\n")
    images = open_images(tmp_path / "list.txt")
    assert len(images) == 1
    assert read_rgb(images.read(0)).size == (8, 8)


def test_a_negative_number_of_processes_is_refused(pipes: Path) -> None:
    result = command("check-data", pipes, "--processes", "-1")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("second", "line"), [((8, 9), r"1\.png has 8 x 9 pixels"), ((9, 9), "9 x 9")])
def test_images_of_mixed_sizes_do_not_fit_in_memory(second: tuple[int, int], line: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    Image.new("RGB", second).save(tmp_path / "1.png")
    with pytest.raises(UserError, match=line):
        MemorySamples(open_images(tmp_path), Views(image_size=8, num_patches=4, seed=0))


def test_what_cannot_be_staged_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(encoded())
    with pytest.raises(UserError, match="not empty"):
        commands.stage(tmp_path / "images", tmp_path / "images", processes=0)
    with pytest.raises(UserError, match="nothing at"):
        commands.stage(tmp_path / "missing", tmp_path / "cache", processes=0)
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["0.png"]
    assert not (tmp_path / "cache").exists()


def test_another_form_may_follow_where_nothing_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cache = tmp_path / "images", tmp_path / "cache"
    source.mkdir()
    (source / "0.png").write_bytes(encoded(side=300))
    with monkeypatch.context() as full:
        full.setattr("shutil.disk_usage", lambda _: os.terminal_size((0, 0)) and type("usage", (), {"free": 10})())
        with pytest.raises(UserError, match="another form or a smaller"):
            commands.stage(source, cache, commands.FormOption.RAW, processes=0)
    # What a kill in the very first write leaves.
    (cache / "crossmae-staging.json").rename(cache / ".crossmae-staging.json.0123.part")
    commands.stage(source, cache, short_side=100, processes=0)
    assert len(open_images(cache)) == 1


def test_a_note_of_a_part_that_is_damaged_is_written_again(tmp_path: Path) -> None:
    source, cache = tmp_path / "images", tmp_path / "cache"
    source.mkdir()
    (source / "0.png").write_bytes(encoded())
    Staging(source, cache, Form("jpeg", 400), processes=0).run()
    (cache / "crossmae-cache.json").unlink()
    for note in (
        b"",
        b"[]",
        b'{"places": 1}',
        b"\xff",
        b'{"places": [[1]], "unreadable": [], "digest": 1, "changed": 0}',
    ):
        (cache / "000000.json").write_bytes(note)
        Staging(source, cache, Form("jpeg", 400), processes=0).run()
        assert read_rgb(open_images(cache).read(0)).size == (8, 8)
        (cache / "crossmae-cache.json").unlink()


@pytest.mark.parametrize("place", [[0, 10**9, 0, 0], [-5, 3, 0, 0], [0, 12, 2, 3], [0, 0, 2**40, 2**40], [0, 1, 0, 4]])
def test_a_cache_cannot_lead_out_of_its_files(place: list[int], tmp_path: Path) -> None:
    source, cache = tmp_path / "images", tmp_path / "cache"
    source.mkdir()
    (source / "0.png").write_bytes(encoded())
    manifest = Staging(source, cache, Form("raw", 400), processes=0).run()
    np.save(cache / "index.npy", np.array([place]))
    text = (cache / "crossmae-cache.json").read_text().replace(manifest.index, index_digest(cache))
    (cache / "crossmae-cache.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        open_cache(cache)


def test_the_list_of_unreadable_images_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "link.txt").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        Unreadable(tmp_path / "link.txt", 10).add("a.jpg")
    assert (tmp_path / "victim").read_text() == "precious"
    # A name of other bytes than UTF-8's is listed as it is, and once.
    for _ in range(2):
        Unreadable(tmp_path / "list.txt", 10).add(os.fsdecode(b"gr\xfc\xdfe.jpg"))
    assert (tmp_path / "list.txt").read_bytes() == b"gr\xfc\xdfe.jpg\n"


def test_a_cache_whose_names_are_out_of_order_is_listed_to_its_end(tmp_path: Path) -> None:
    for name in ("a/1", "c/2", "d/3"):
        (tmp_path / "source" / name).parent.mkdir(parents=True)
        (tmp_path / "source" / f"{name}.png").write_bytes(encoded())
    Staging(tmp_path / "source", tmp_path / "cache", Form("jpeg", 400), processes=0).run()
    cache = open_cache(tmp_path / "cache")
    cache.names = Names(["a/1.png", "c/2.png", "b/3.png"])
    assert cache.entries("")[0][0] == "a"
