"""The guarantee of every engine's states: complete, checked, refused to another run, free of objects."""

from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crossmae.errors import UserError
from crossmae.train.checkpoint.manager import CheckpointManager
from crossmae.train.runtime.distributed import World

IDENTITY = {"protocol": {"lr": 1e-3, "milestones": [3, 5]}}


def manager(folder: Path, **options: Any) -> CheckpointManager:
    return CheckpointManager(folder, World(0, 1, torch.device("cpu")), **options)


def test_what_schedulers_and_optimizers_hold_comes_back_as_plain_values(tmp_path: Path) -> None:
    model = torch.nn.BatchNorm1d(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedulers": [schedule.state_dict(), {"base_values": [np.float64(1e-3)], "end": np.int64(7)}],
        "order": OrderedDict(a=(1, None, "b")),
        "best": float("nan"),
    }
    first = manager(tmp_path)
    assert first.newest(IDENTITY) is None
    first.save(4, state)

    again = manager(tmp_path).newest(IDENTITY)
    assert again is not None
    assert again["step"] == 4
    assert again["schedulers"][1] == {"base_values": [1e-3], "end": 7}
    assert isinstance(again["schedulers"][0]["milestones"], Counter)
    assert again["order"] == OrderedDict(a=(1, None, "b"))
    assert again["model"]._metadata == model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(again["model"])
    optimizer.load_state_dict(again["optimizer"])


def test_an_object_is_refused_when_it_is_saved_and_not_when_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.hooks\.path is a PosixPath, which a saved state cannot hold"):
        manager(tmp_path).save(1, {"hooks": {"path": tmp_path}})
    assert not (tmp_path / "state").exists()


def test_a_file_that_holds_code_is_passed_over_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    import hashlib

    first = manager(tmp_path)
    first.newest(IDENTITY)
    first.save(1, {"value": 1})
    hostile = tmp_path / "state" / "hostile"
    torch.save({"step": 2, "path": tmp_path}, hostile)
    digest = hashlib.sha256(hostile.read_bytes()).hexdigest()[:16]
    hostile.rename(hostile.with_name(f"step-00000002.{digest}.pt"))

    again = manager(tmp_path).newest(IDENTITY)
    assert again is not None
    assert again["step"] == 1


def test_another_runs_states_are_refused_and_the_line_says_what_differs(tmp_path: Path) -> None:
    manager(tmp_path).newest(IDENTITY)
    with pytest.raises(UserError, match=r"protocol\.lr 0\.001 -> 0\.002; protocol\.milestones \[3, 5\] -> \[3, 6\]"):
        manager(tmp_path).newest({"protocol": {"lr": 2e-3, "milestones": [3, 6]}})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000])
def test_an_unreadable_identity_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "identity.json").write_bytes(content)
    with pytest.raises(UserError, match=r"identity\.json .*; delete .*state to start anew") as error:
        manager(tmp_path).newest(IDENTITY)
    assert "\n" not in str(error.value)
