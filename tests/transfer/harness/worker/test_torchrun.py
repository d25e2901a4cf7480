"""Where the processes of a run on several nodes meet."""

import os
import socket
from pathlib import Path

import pytest

from crossmae.errors import UserError
from transfer.harness.worker.torchrun import LOOPBACK_VARIABLE, call_meeting


def test_nodes_do_not_meet_at_an_address_that_only_one_of_them_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostbyname", lambda name: "127.0.1.1")
    for name in ("TRANSFER_JOB", "CROSSMAE_LOCK_TOKEN"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(UserError, match=r"stands for 127\.0\.1\.1, which other nodes cannot reach"):
        call_meeting(tmp_path)
    monkeypatch.setitem(os.environ, LOOPBACK_VARIABLE, "1")
    call_meeting(tmp_path)
