"""An update of a pretraining recipe on a GPU that is not there: shapes only, at the recipe's own batch.

``python -m tests.cuda_without_gpu.shapes GUARD whole|shallow RECIPE...`` prints one JSON object: recipe to the lines in
which the host waits for the GPU within an update, and the update's peak memory in bytes. ``shallow`` leaves two blocks
of encoder and decoder: the same operations in a fraction of the time, for everything but the memory.
"""

import json
import sys
import weakref
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

from tests.cuda_without_gpu.guard import load

load(Path(sys.argv[1]))

import torch  # noqa: E402 (the guard comes first)
from torch import Tensor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from crossmae.analysis.speed import synthetic_batch  # noqa: E402
from crossmae.pretraining.recipe import read_recipe  # noqa: E402
from crossmae.pretraining.run import load_pretraining_recipe  # noqa: E402
from crossmae.pretraining.workload import Autoencoding  # noqa: E402
from crossmae.train.config import split_batch  # noqa: E402
from crossmae.train.runtime.distributed import World  # noqa: E402
from crossmae.train.step import Updates  # noqa: E402
from tests.cuda_without_gpu.pretend import pretended_gpu, shallow  # noqa: E402
from tests.cuda_without_gpu.waits import line_of_ours, wait_of  # noqa: E402


class Watch(TorchDispatchMode):
    """Adds up the living bytes of tensors on the GPU, and notes the waits."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living, self.peak = 0, 0
        self.waits: list[str] = []
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        first = next((leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
        on_gpu = first is not None and first.device.type == "cuda"
        if wait := wait_of(name, args, kwargs, on_gpu):
            self.waits.append(f"{wait}: {line_of_ours()}")
        if name == "_local_scalar_dense":
            return 0.0 if args[0].dtype.is_floating_point else args[0].dtype is not torch.bool and 0
        out = func(*args, **kwargs)
        for leaf in tree_leaves(out):
            self._count(leaf)
        return out

    def _count(self, leaf: Any) -> None:
        if not isinstance(leaf, Tensor) or leaf.device.type != "cuda":
            return
        storage = leaf.untyped_storage()
        if storage._cdata in self._sizes:
            return
        self._sizes[storage._cdata] = storage.nbytes()
        self.living += storage.nbytes()
        self.peak = max(self.peak, self.living)
        weakref.finalize(storage, self._release, storage._cdata)

    def _release(self, storage: int) -> None:
        self.living -= self._sizes.pop(storage)


def watch_update(recipe: str, is_shallow: bool) -> dict[str, Any]:
    """Waits and peak memory of one update, after one that makes the optimizer's state."""
    chosen = read_recipe(load_pretraining_recipe(recipe, ("compile=false",)), seed=0)
    if is_shallow:
        chosen = replace(chosen, model=shallow(chosen.model))
    with pretended_gpu(), Watch() as watch:
        split = split_batch(chosen.plan.global_batch, 8, chosen.execution.per_device_batch)
        world = World(0, 1, torch.device("cuda", 0))
        updates = Updates(Autoencoding(chosen), chosen.plan, chosen.execution, world, split)
        updates.prepare()
        batches = repeat(synthetic_batch(chosen, split.micro_batch, world.device))
        updates.make(0, 1e-3, batches, stop=False)
        watch.waits.clear()
        updates.make(1, 1e-3, batches, stop=True)
    return {"waits": sorted(set(watch.waits)), "peak": watch.peak, "micro_batch": split.micro_batch}


if __name__ == "__main__":
    print(json.dumps({recipe: watch_update(recipe, sys.argv[2] == "shallow") for recipe in sys.argv[3:]}))
