"""This process's place among the processes that torchrun started, from its environment; loads no torch."""

import os


def rank() -> int:
    """This process's number among all processes of the run, from 0; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """This process's number among those of the run on this machine, from 0: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_size() -> int:
    """Number of processes of the run on this machine; 1 without torchrun."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def world_size() -> int:
    """Number of processes of the run; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes the run's files."""
    return rank() == 0


def under_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "RANK" in os.environ
