import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossmae.errors import UserError
from crossmae.run.lock import TOKEN_VARIABLE, hold_folder, owner

HOLD = "import sys, time, pathlib; from crossmae.run.lock import hold_folder\n" + (
    "with hold_folder(pathlib.Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
)
HOLD_WITH_WORKER = "import os, sys, time, pathlib; from crossmae.run.lock import hold_folder\n" + (
    "with hold_folder(pathlib.Path(sys.argv[1])):\n    os.fork(); os.write(1, b'held\\n'); time.sleep(60)"
)


def start(code: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip


def held(process: subprocess.Popen[str]) -> bool:
    assert process.stdout
    return process.stdout.readline() == "held\n"


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_second_run_is_refused_in_one_line_that_names_the_first(tmp_path: Path) -> None:
    first = start(HOLD, tmp_path)
    assert held(first)
    with pytest.raises(UserError, match=f"in use by process {first.pid} on"), hold_folder(tmp_path):
        pass
    assert str(first.pid) in (owner(tmp_path) or "")
    kill_group(first)
    assert owner(tmp_path) is None
    with hold_folder(tmp_path):
        pass


def test_the_lock_lasts_as_long_as_a_forked_worker(tmp_path: Path) -> None:
    first = start(HOLD_WITH_WORKER, tmp_path)
    assert held(first)
    assert held(first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with pytest.raises(UserError), hold_folder(tmp_path):
        pass
    os.killpg(first.pid, signal.SIGKILL)
    with hold_folder(tmp_path, wait=5):
        pass


def test_a_worker_joins_its_run_but_not_a_later_one(tmp_path: Path) -> None:
    with hold_folder(tmp_path):
        token = os.environ[TOKEN_VARIABLE]
        worker = start(HOLD, tmp_path, **{TOKEN_VARIABLE: token})
        assert held(worker)
        kill_group(worker)
    assert TOKEN_VARIABLE not in os.environ
    with hold_folder(tmp_path):
        late = start(HOLD, tmp_path, **{TOKEN_VARIABLE: token})
        _, error = late.communicate()
        assert "now belongs to another run" in error


def test_waiting_for_a_run_that_ends(tmp_path: Path) -> None:
    first = start(HOLD, tmp_path)
    assert held(first)
    began = time.monotonic()
    os.kill(first.pid, signal.SIGTERM)
    with hold_folder(tmp_path, wait=10):
        assert time.monotonic() - began < 10
    first.communicate()
