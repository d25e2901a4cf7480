"""A cluster for the whole session, and the bench of the local tests with jobs instead of processes."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

HERE = Path(__file__).parent


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


cluster_module = _load("slurm_cluster", HERE / "cluster.py")
bench_module = _load("harness_bench", HERE.parent / "transfer" / "harness" / "conftest.py")

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
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["cluster_module.Cluster"]:
    with cluster_module.slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def bench(cluster, tmp_path, monkeypatch) -> Iterator["bench_module.Bench"]:
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(PROFILE))
    for name in cluster_module.NODES:
        if name not in cluster.nodes:
            cluster.start_node(name)
    cluster.wait_for_nodes()
    bench = bench_module.Bench(tmp_path, options=("--launcher", "slurm", "--profile", "profile.yaml"))
    yield bench
    bench.end()
    cluster.call("scancel", "--user=root")
