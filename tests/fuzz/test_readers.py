"""Readers of untrusted bytes return or refuse in one line, whatever they are given; see docs/security.md."""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.guard import attempt
from tests.fuzz.mutate import PICKLES, mutated
from tests.fuzz.runs import TARGETS
from tests.fuzz.targets import Target

CASES = Path(__file__).with_name("cases")
ENGINES = ("coco", "detector", "segmenter", "ade20k")
SLOW = [name for name in TARGETS if name.endswith(("-shown", "-compared")) or name.startswith(ENGINES)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in sorted(TARGETS)],
)
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Each of them, in turn, in a folder that is also the working folder."""
    folder = tmp_path_factory.mktemp("target")
    before = Path.cwd()
    made = TARGETS[request.param](folder)
    os.chdir(folder)
    yield made
    os.chdir(before)


def test_sound_files_are_read(target: Target) -> None:
    for content in target.sound:
        target.write(content)
        target.read()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random=st.randoms(use_true_random=True))
def test_mutated_files_are_read_or_refused_in_one_line(target: Target, random: Random) -> None:
    attempt(target, mutated(random, random.choice(target.sound)))


def test_code_is_never_run(target: Target) -> None:
    for content in PICKLES:
        attempt(target, content)


def test_files_that_once_did_harm_do_so_no_more(target: Target, request: pytest.FixtureRequest) -> None:
    for case in sorted((CASES / request.node.callspec.params["target"]).glob("*")):
        attempt(target, case.read_bytes())


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "hole", "dangling link"])
def test_what_is_no_file_keeps_nobody_waiting(target: Target, kind: str) -> None:
    if target.path.name == "text":
        pytest.skip("no file")

    def place() -> None:
        target.clear()
        if kind == "pipe":
            os.mkfifo(target.path)
        elif kind == "folder":
            target.path.mkdir()
        elif kind == "hole":  # a file of a terabyte that takes no room
            with open(target.path, "wb") as file:
                file.truncate(2**40)
        else:
            target.path.symlink_to("/dev/zero" if kind == "device" else "nowhere")

    attempt(target, place)
