"""Processes on this machine end when they must."""

import json
import time
from pathlib import Path

from tests.support.bench import TASKS, wait_until
from transfer.harness.folder.request import request_for
from transfer.harness.launch.devices import Pool
from transfer.harness.launch.launcher import Ended
from transfer.harness.launch.local import LocalLauncher
from transfer.harness.plan.data_roots import data_roots
from transfer.harness.plan.plan import make_plan
from transfer.harness.plan.suite import BackboneEntry, Suite
from transfer.harness.plan.tasks import load_specs


def test_a_run_that_does_not_end_when_it_is_stopped_is_killed(tmp_path: Path) -> None:
    suite = Suite("s", "", (BackboneEntry("random", source="random:vit_demo"),), {"counting": "quick"}, demo_data=True)
    (run,) = make_plan(suite.override("counting", "fault=once-hang"), load_specs([TASKS]), tmp_path / "out")
    (tmp_path / "numbers").mkdir()
    (tmp_path / "numbers" / "numbers.json").write_text(json.dumps(list(range(30))))
    roots = data_roots([f"numbers={tmp_path / 'numbers'}"], demo=True)
    launcher = LocalLauncher(Pool(("cpu0",), False, 1), hang_seconds=600, seconds_to_save=2)
    assert launcher.start(run, request_for(run, roots, [TASKS], "run_all"))
    wait_until((run.folder / "fault-happened").exists)
    time.sleep(0.5)  # The fault is noted just before the run blocks its signals.
    launcher.stop()
    ended: list[Ended] = []

    def has_ended() -> bool:
        ended.extend(launcher.poll())
        return bool(ended)

    wait_until(has_ended, seconds=30)
    assert [end.run for end in ended] == [run]
    assert ended[0].exit_code
