"""``run_all --launcher slurm`` on a real Slurm: losses of jobs, nodes and controllers lose and repeat no work."""

import json
import time
from collections.abc import Callable

import pytest

from tests.support.bench import Bench
from tests.support.cluster import Cluster

SLOW = "seconds_per_step=0.5"
STEPS = list(range(1, 21))


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def job_of(cluster: Cluster, task: str) -> tuple[str, str, str]:
    (job,) = [job for name, job in cluster.jobs().items() if name.startswith(f"{task}-")]
    return job


def test_runs_side_by_side_then_nothing(bench: Bench, cluster: Cluster) -> None:
    bench.suite(seeds=2, counting=["seconds_per_step=0.2"], summing=["seconds_per_step=0.2"])
    code, output = bench.run()
    assert code == 0, output
    assert "node1" in output or "job" in output
    records = bench.records()
    assert len(records) == 4
    assert cluster.jobs() == {}
    code, output = bench.run()
    assert code == 0
    assert "nothing to do" in output
    assert bench.records() == records


def test_preempted_jobs_are_requeued_and_resume(bench: Bench, cluster: Cluster) -> None:
    bench.suite(counting=[SLOW], summing=[SLOW])
    first = bench.start()
    bench.until_step(3)
    bench.until_step(3, "summing")
    cluster.call("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    output, _ = first.communicate(timeout=180)
    assert first.returncode == 0, output
    for task in ("counting", "summing"):
        assert bench.steps(task) == STEPS
        assert len(bench.writers(task)) == 2


def test_job_told_of_its_end_saves_and_is_requeued(bench: Bench, cluster: Cluster) -> None:
    """What Slurm does before a time-out, without the wait for one."""
    bench.suite(tasks=("counting",), counting=[SLOW])
    first = bench.start()
    bench.until_step(3)
    cluster.call("scancel", "--signal=USR2", job_of(cluster, "counting")[0])
    output, _ = first.communicate(timeout=180)
    assert first.returncode == 0, output
    assert bench.steps("counting") == STEPS


def test_cancelled_job_fails_alone_and_the_same_command_completes_it(bench: Bench, cluster: Cluster) -> None:
    bench.suite(counting=[SLOW], summing=["seconds_per_step=0.2"])
    first = bench.start()
    bench.until_step(3)
    job = job_of(cluster, "counting")[0]
    cluster.call("scancel", job)
    output, _ = first.communicate(timeout=180)
    assert first.returncode == 1, output
    assert f"FAILED counting random seed 0: Slurm job {job} was cancelled" in output
    finished = bench.records()
    assert [file.parts[-4] for file in finished] == ["summing"]
    assert bench.run()[0] == 0
    assert finished.items() <= bench.records().items()
    assert bench.steps("counting") == STEPS


def test_status_knows_what_waits_and_what_runs_where(bench: Bench, cluster: Cluster) -> None:
    cluster.call("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 8")
    wait_until(lambda: "RUNNING" in [state for _, state, _ in cluster.jobs().values()])
    bench.suite(tasks=("counting",), counting=[SLOW])
    first = bench.start()
    wait_until(lambda: any(name.startswith("counting-") for name in cluster.jobs()))
    job = job_of(cluster, "counting")[0]
    code, output = bench.transfer("status", environment={"COLUMNS": "150"})
    assert code == 0
    assert f"queued │ │ job {job} pending (" in " ".join(output.split())
    assert "0 running, 1 queued" in output
    bench.until_step(3)
    code, output = bench.transfer("status", environment={"COLUMNS": "150"})
    assert "1 running, 0 queued" in output
    assert f"job {job} running {job_of(cluster, 'counting')[2]}" in output
    assert first.wait(120) == 0


def test_refused_jobs_are_named_before_anything_starts(bench: Bench) -> None:
    bench.suite()
    bench.options += ("--set", "counting.devices=3")
    (bench.folder / "profile.yaml").write_text(
        (bench.folder / "profile.yaml").read_text() + "tasks: {summing: {partition: nosuch}}\n"
    )
    code, output = bench.run()
    assert code == 1
    assert "Slurm refuses jobs of counting (" in output
    assert "Slurm refuses jobs of summing (" in output
    assert "mend the profile" in output
    assert bench.transfer("check", *bench.options)[1].count("Slurm refuses") == 2
    assert not list((bench.folder / "out").glob("*/*/*"))


@pytest.mark.parametrize("loss", ["marked down", "without power"])
def test_lost_node_is_replaced_by_the_other(bench: Bench, cluster: Cluster, loss: str) -> None:
    bench.suite(tasks=("counting",), counting=[SLOW])
    first = bench.start()
    bench.until_step(3)
    node = job_of(cluster, "counting")[2]
    if loss == "marked down":
        cluster.set_state(node, "down")
    else:
        cluster.cut_power(node)
    wait_until(lambda: len(bench.writers("counting")) == 2)
    assert job_of(cluster, "counting")[2] != node
    output, _ = first.communicate(timeout=180)
    if loss == "marked down":
        cluster.set_state(node, "resume")
    assert first.returncode == 0, output
    assert bench.steps("counting")[-1] == 20
    assert bench.writers("counting")[0] != bench.writers("counting")[1]


def test_killed_controller_finds_its_jobs_again(bench: Bench, cluster: Cluster) -> None:
    bench.suite(counting=[SLOW], summing=["seconds_per_step=0.1"])
    first = bench.start()
    bench.until_step(3)
    first.kill()
    first.wait()
    before = job_of(cluster, "counting")[0]
    second = bench.start()
    wait_until(lambda: bench.steps("counting")[-1] >= 8)
    assert job_of(cluster, "counting")[0] == before
    output, _ = second.communicate(timeout=180)
    assert second.returncode == 0, output
    assert "counting random seed 0 continues" in output
    for task in ("counting", "summing"):
        assert bench.steps(task) == STEPS
        assert len(bench.writers(task)) == 1


def test_ctrl_c_leaves_the_jobs_and_says_so(bench: Bench, cluster: Cluster) -> None:
    bench.suite(tasks=("counting",), counting=[SLOW])
    first = bench.start()
    bench.until_step(2)
    first.send_signal(2)
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 130
    assert "keeps running as Slurm job" in output
    assert bench.run()[0] == 0
    assert len(bench.writers("counting")) == 1


def test_hanging_job_is_ended_and_retried(bench: Bench, cluster: Cluster) -> None:
    bench.suite(tasks=("counting",), counting=["fault=once-hang"])
    code, output = bench.run("--hang-minutes", "0.1")
    assert code == 0, output
    assert "no sign of life" in output
    assert bench.steps("counting")[-1] == 20


def test_failing_task_is_told_from_a_lost_job(bench: Bench, cluster: Cluster) -> None:
    bench.suite(counting=["fault=raise"])
    code, output = bench.run()
    assert code == 1
    assert "ValueError: the fifth number is unlucky" in output
    assert len(bench.records()) == 1


def test_classification_on_two_nodes(bench: Bench, cluster: Cluster) -> None:
    """Two processes on two nodes, gloo between them; one record."""
    content = bench.suite_content(tasks={"imagenet_finetune": "demo"}, imagenet_finetune=["steps=6", "log_every=2"])
    bench.write_suite({**content, "devices": {"imagenet_finetune": 2}})
    code, output = bench.run()
    assert code == 0, output
    record = json.loads((bench.run_folder("imagenet_finetune") / "record.json").read_text())
    assert record["provenance"]["hardware"]["processes"] == 2
    assert 0 < record["metrics"]["top1"] < 100


def test_preempted_run_on_two_nodes_is_resumed_and_not_retried(bench: Bench, cluster: Cluster) -> None:
    content = bench.suite_content(tasks={"counting": "quick"}, counting=[SLOW])
    bench.write_suite({**content, "devices": {"counting": 2}})
    first = bench.start()
    bench.until_step(3)
    cluster.call("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    output, _ = first.communicate(timeout=180)
    assert first.returncode == 0, output
    assert "retry" not in output
    assert len(bench.records()) == 1
    (attempt,) = (json.loads(file.read_text()) for file in bench.run_folder("counting").glob("attempts/*.json"))
    assert attempt["exit_code"] == 75
    assert sorted(set(bench.steps("counting"))) == STEPS


def test_smoke_suite_with_every_engine(bench: Bench, cluster: Cluster) -> None:
    code, output = bench.run_suite("smoke")
    assert code == 0, output
    assert len(bench.records()) == 11
