"""Random numbers that depend on the seed, the epoch and the sample only, never on processes, workers or order."""

import random
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class SampleKey(NamedTuple):
    """One use of one sample: item ``index`` of the data set in its ``epoch``-th pass, both from 0."""

    epoch: int
    index: int  # type: ignore[assignment]  # a field, not the method of tuples


def uniform(seed: int, keys: Sequence[SampleKey], purpose: str, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), shape (len(keys), count): row i is a function of ``seed``, ``keys[i]`` and ``purpose`` alone.

    A counter-based generator (the finaliser of SplitMix64 over the words of the key), so that a whole batch is drawn
    in one go.
    """
    pairs = np.array(keys, dtype=np.uint64).reshape(-1, 2)
    state = np.full(len(pairs), _word(seed), dtype=np.uint64)
    for word in (np.uint64(crc32(purpose.encode())), pairs[:, 0], pairs[:, 1]):
        state = _mix(state + _GOLDEN + word)
    counters = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    return np.asarray((_mix(state[:, None] + counters) >> np.uint64(11)) * 2.0**-53)


def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order in which ``count`` samples are seen in ``epoch``."""
    return np.random.Generator(np.random.PCG64([seed & (2**63 - 1), epoch])).permutation(count)


def seed_libraries(seed: int, *parts: int) -> None:
    """Seeds ``random``, NumPy and torch, for transforms and layers that draw from the global generators.

    Call ``seed_libraries(seed, key.epoch, key.index)`` before transforming one sample.
    """
    state = _mix(np.array([_word(seed)], dtype=np.uint64))
    for part in parts:
        state = _mix(state + _GOLDEN + _word(part))
    value = int(state[0])
    random.seed(value)
    np.random.seed(value & 0xFFFFFFFF)  # noqa: NPY002 - timm's transforms draw from this generator
    torch.manual_seed(value & (2**63 - 1))


def _word(value: int) -> np.uint64:
    return np.uint64(value & 0xFFFFFFFFFFFFFFFF)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
