"""A real Slurm of two nodes on the loopback interface of one machine, with all of its files in one folder.

Each node's daemon lives in a process namespace of its own: ending it ends everything on that node, as a power
cut would. Needs root and Debian's packages slurmctld, slurmd, slurm-client and munge; installs them if they are
missing.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
NODES = ("node1", "node2")
FIRST_PORT = 16_817
WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Before a daemon's command: it ends with this process, however that ends."""

CONFIG = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPort={port}
SrunPortRange={first_srun}-{last_srun}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/spool.%n/slurmd.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=100000
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=1
SlurmdTimeout=10
KillWait=5
MinJobAge=600
JobRequeue=1
GresTypes=gpu
NodeName=node[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{first_node}-{last_node}] CPUs=2 RealMemory=4000 \
Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=10 GraceTime=20 State=UP OverSubscribe=NO
PartitionName=high Nodes=ALL MaxTime=60 PriorityTier=100 PreemptMode=OFF State=UP OverSubscribe=NO
"""


@dataclass
class Cluster:
    """A running cluster."""

    folder: Path
    environment: dict[str, str]
    nodes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def call(self, *command: str) -> str:
        """Output of a Slurm command; none of them may wait for ever."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def start_node(self, name: str) -> None:
        """Switches a node on."""
        (self.folder / f"spool.{name}").mkdir(exist_ok=True)
        with open(self.folder / f"{name}.out", "ab") as output:
            self.nodes[name] = subprocess.Popen(
                [*WITH_US, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "slurmd", "-D", "-N", name],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def cut_power(self, name: str) -> None:
        """Ends a node with everything on it, without notice to anybody."""
        os.killpg(self.nodes[name].pid, signal.SIGKILL)
        self.nodes.pop(name).wait()

    def set_state(self, name: str, state: str) -> None:
        """Has the administrator mark a node ``down`` or ``resume`` it."""
        self.call("scontrol", "update", f"nodename={name}", f"state={state}", "reason=test")

    def jobs(self) -> dict[str, tuple[str, str, str]]:
        """Job name to number, state and nodes."""
        lines = self.call("squeue", "--noheader", "--format=%j|%i|%T|%N").splitlines()
        return {name: (job, state, nodes) for name, job, state, nodes in (line.split("|") for line in lines)}

    def wait_for_nodes(self, seconds: float = 30) -> None:
        """Until all nodes can take jobs."""
        deadline = time.monotonic() + seconds
        while len(self._ready()) < len(NODES):
            assert time.monotonic() < deadline, f"Slurm did not come up; see the logs in {self.folder}"
            time.sleep(0.1)

    def _ready(self) -> list[str]:
        try:
            return self.call("sinfo", "-h", "-N", "-p", "main", "-t", "idle,mix,alloc", "-o", "%N").split()
        except subprocess.CalledProcessError:
            return []


@contextmanager
def slurm(folder: Path) -> Iterator[Cluster]:
    """Brings the cluster up in ``folder`` and takes it down."""
    _install()
    folder.chmod(0o755)
    cluster = Cluster(folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")})
    _configure(folder)
    munge = subprocess.Popen(_munge(folder), stdin=subprocess.DEVNULL, start_new_session=True)
    controller = None
    try:
        _wait_for(folder / "munge.sock")
        controller = subprocess.Popen(
            [*WITH_US, "slurmctld", "-D"], env=cluster.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for name in NODES:
            cluster.start_node(name)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        for name in list(cluster.nodes):
            cluster.cut_power(name)
        for process in filter(None, (controller, munge)):
            process.terminate()
            process.wait(20)


def _install() -> None:
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run(["apt-get", "-qq", *words], check=True, stdout=subprocess.DEVNULL, env=environment)


def _configure(folder: Path) -> None:
    ports = FIRST_PORT + 200 * (os.getpid() % 70)
    text = CONFIG.format(
        folder=folder,
        port=ports,
        first_node=ports + 1,
        last_node=ports + len(NODES),
        first_srun=ports + 20,
        last_srun=ports + 180,
    )
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/tty[0-1]\n")
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)


def _munge(folder: Path) -> list[str]:
    files = {"socket": "munge.sock", "key-file": "munge.key", "pid-file": "munged.pid", "seed-file": "munged.seed"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    return [*WITH_US, "munged", "--foreground", "--force", *options, f"--log-file={folder / 'munged.log'}"]


def _wait_for(path: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True)
    with slurm(place.resolve()) as running:
        print(running.call("sinfo"), f"export SLURM_CONF={place.resolve()}/slurm.conf", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
