import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from crossmae.errors import UserError
from crossmae.run.stop import Stopped
from tests.support import toy
from tests.support.toy import Interrupted

SCRIPT = Path(toy.__file__)


def crash() -> None:
    raise MemoryError("the process dies here")


def weights(fitted: Any) -> list[torch.Tensor]:
    return list(fitted.model.state_dict().values())


def identical(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def newest(folder: Path) -> Path:
    return max((folder / "state").glob("step-*.pt"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return toy.run(toy.Toy(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("update", [0, 10, 37, 59])
def test_a_crashed_run_goes_on_to_the_very_weights_of_one_that_was_not(
    update: int, whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MemoryError):
        toy.run(Interrupted(tmp_path, update, crash))
    caplog.set_level("INFO", "crossmae")

    resumed = toy.run(toy.Toy(tmp_path))

    assert identical(resumed, whole)
    expected = [f"resumed at step {update // 10 * 10} of 60"] if update >= 10 else []
    assert [m for m in caplog.messages if "resumed" in m] == expected


@pytest.fixture
def heard() -> Iterator[None]:
    """The end of the terminal is heard even if these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP])
def test_a_signal_finishes_the_update_saves_and_the_next_start_continues(
    number: signal.Signals, whole: Any, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        toy.run(Interrupted(tmp_path, 23, lambda: os.kill(os.getpid(), number)))
    assert "step-00000024" in newest(tmp_path).name or "step-00000025" in newest(tmp_path).name

    assert identical(toy.run(toy.Toy(tmp_path)), whole)
    # Nothing was computed twice: 60 updates of 16 samples over both starts.
    assert len((tmp_path / "seen-0.txt").read_text().splitlines()) == 60 * 16


def test_every_epoch_shows_every_sample_once_across_a_stop(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        toy.run(Interrupted(tmp_path, 4, lambda: os.kill(os.getpid(), signal.SIGTERM)))
    toy.run(toy.Toy(tmp_path))

    seen = (tmp_path / "seen-0.txt").read_text().splitlines()
    for epoch in range(9):
        samples = seen[epoch * 100 : epoch * 100 + 100]
        assert sorted(samples) == sorted(f"{epoch} {index}" for index in range(100))


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, SCRIPT, tmp_path / "run", "delay=30.0", "steps=2"], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    while not (tmp_path / "run" / "seen-0.txt").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)

    assert process.wait(5) == -signal.SIGINT


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip])
def test_a_damaged_state_is_passed_over_with_a_warning(
    damage: Callable[[Path], None], whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(MemoryError):
        toy.run(Interrupted(tmp_path, 45, crash))
    damaged = newest(tmp_path)
    damage(damaged)
    caplog.set_level("INFO", "crossmae")

    assert identical(toy.run(toy.Toy(tmp_path)), whole)
    assert f"{damaged} is damaged; going back to the state before it" in caplog.messages
    assert "resumed at step 30 of 60" in caplog.messages


def test_if_no_state_can_be_read_the_run_does_not_start_over_silently(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        toy.run(Interrupted(tmp_path, 25, crash))
    for state in (tmp_path / "state").glob("step-*.pt"):
        truncate(state)

    with pytest.raises(UserError, match=r"none of the states in .* can be read"):
        toy.run(toy.Toy(tmp_path))


def test_the_newest_states_and_the_milestones_are_kept(tmp_path: Path) -> None:
    toy.run(toy.Toy(tmp_path), execution=replace(toy.EXECUTION, keep=2, milestone_every=20))

    kept = sorted(int(path.name[5:13]) for path in (tmp_path / "state").glob("step-*.pt"))
    assert kept == [20, 40, 50, 60]


def test_a_changed_recipe_is_refused_by_name_and_a_changed_execution_is_not(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        toy.run(Interrupted(tmp_path, 25, crash))

    with pytest.raises(UserError) as refusal:
        toy.run(toy.Toy(tmp_path, width=9), replace(toy.PLAN, lr=2e-3))
    assert "model.width 8 -> 9; plan.lr 0.001 -> 0.002" in str(refusal.value)

    assert identical(toy.run(toy.Toy(tmp_path), execution=replace(toy.EXECUTION, checkpoint_every=7)), whole)


def test_a_full_disk_is_one_line_and_leaves_the_earlier_state(tmp_path: Path) -> None:
    """In a file system of 256 KB of its own, which the second state overfills."""
    script = f"mount -t tmpfs -o size=256k tmpfs {tmp_path} && {sys.executable} {SCRIPT} {tmp_path}/run width=1500"
    script += f"; ls {tmp_path}/run/state"
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    if "unshare" in result.stderr:
        pytest.skip("this machine allows no file system of one's own")

    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("error: no space left in")] == [lines[-3]]
    assert lines[-2] == "identity.json"
    assert lines[-1].startswith("step-00000010.")
