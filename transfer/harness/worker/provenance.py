"""What a record says about the machine, the code and the libraries behind its numbers."""

import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from crossmae.run.rank import world_size
from results.record import Provenance
from transfer.harness.folder.request import now


def provenance(command: str, started: str) -> Provenance:
    """Everything needed to repeat the run, as it is at this moment in this process."""
    commit, dirty = git_state(Path(__file__).parent)
    return Provenance(
        command=command,
        git_commit=commit,
        git_dirty=dirty,
        hardware=hardware(),
        packages=loaded_packages(),
        started=started,
        finished=now(),
    )


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Commit and whether tracked files differ from it; (None, None) outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit.strip(), bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))


def loaded_packages() -> dict[str, str]:
    """Versions of the distributions that this process has imported."""
    tops = {name.partition(".")[0] for name in sys.modules}
    names = {name for top, names in packages_distributions().items() if top in tops for name in names}
    return {name: version(name) for name in sorted(names)}


def hardware() -> dict[str, Any]:
    """Host, processor, memory and GPUs."""
    return {
        "host": platform.node(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")) or None,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": _gpus(),
        "processes": world_size(),
    }


def peak_memory() -> int:
    """Bytes: of the GPU where one was used, else of this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _gpus() -> list[str]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
