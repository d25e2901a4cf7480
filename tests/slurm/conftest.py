"""A cluster for the whole session, and the bench of the local tests with jobs instead of processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.bench import Bench
from tests.support.cluster import NODES, Cluster, slurm

HERE = Path(__file__).parent
PROFILE = {
    "partition": "main",
    "minutes": 5,
    "devices_per_node": 1,
    "gpus": False,
    "cpus_per_device": 1,
    "seconds_to_save": 20,
    "poll_seconds": 0.5,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def bench(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("TRANSFER_LOOPBACK", "1")  # The nodes are this machine.
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(PROFILE))
    for name in NODES:
        if name not in cluster.nodes:
            cluster.start_node(name)
    cluster.wait_for_nodes()
    bench = Bench(tmp_path, options=("--launcher", "slurm", "--profile", "profile.yaml"))
    yield bench
    bench.end()
    cluster.call("scancel", "--user=root")
