"""One of several processes fails while the others wait for it in a reduction, as NCCL does, deaf to signals."""

import time

import pytest
import yaml

from tests.support.bench import TASKS, Bench

TASK = """
import signal
import time

from transfer.task import Task


class Failing(Task):
    def check(self, data_root):
        return ()

    def demo(self, data_root, scenes):
        data_root.mkdir(parents=True)

    def run(self, backbone, recipe, context):
        import torch.distributed as dist

        from crossmae.train.runtime.distributed import join_world

        def wait(*_):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(3600)

        dist.destroy_process_group = wait
        with join_world("cpu") as world:
            world.gather(1)
            if world.rank == 1:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            wait()
"""


@pytest.mark.slow
def test_the_reason_of_the_one_that_fails_is_the_run_s_within_seconds(bench: Bench) -> None:
    folder = bench.folder / "more"
    folder.mkdir()
    (folder / "failing.py").write_text(TASK)
    content = yaml.safe_load((TASKS / "counting.yaml").read_text())
    content.update(adapter="failing:Failing", recipes=str(TASKS / "recipes"))
    (folder / "failing.yaml").write_text(yaml.safe_dump(content))
    bench.suite(tasks=("failing",), failing=["seconds_per_step=0"])
    bench.write_suite({**bench.suite_content({"failing": "quick"}), "devices": {"failing": 2}})
    before = time.monotonic()
    code, output = bench.run("--tasks", "more")
    assert code == 1
    assert "FAILED failing random seed 0: out of memory" in output
    assert "retry" not in output
    assert time.monotonic() - before < 90
    (attempt,) = (bench.run_folder("failing") / "attempts").glob("*.json")
    assert "out of memory" in attempt.read_text()
