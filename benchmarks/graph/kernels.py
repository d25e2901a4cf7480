"""The kernels of a pretraining update on a GPU that is not there.

``python -m benchmarks.graph.kernels eager|compiled RECIPE [DEPTH]`` prints one JSON object, an ``Update``.

The trainer's own update runs on shapes alone (``tests.cuda_without_gpu``), as eager PyTorch would dispatch it or
compiled by inductor for CUDA: graph, fusions and Triton code are what a machine with a GPU would get, and nothing runs.
``DEPTH`` leaves so many blocks of encoder and decoder.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tests.cuda_without_gpu import guard

guard.load(guard.built())

import torch  # noqa: E402 (the guard comes first)
from torch import Tensor, fx, nn  # noqa: E402
from torch._dynamo.backends.common import aot_autograd  # noqa: E402
from torch._dynamo.device_interface import CudaInterface  # noqa: E402
from torch._inductor import dependencies, ir, metrics, scheduler, virtualized  # noqa: E402
from torch._inductor import graph as inductor  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves, tree_map_only  # noqa: E402
from torch.utils.flop_counter import flop_registry  # noqa: E402

from benchmarks.graph.parts import GRADIENT_NORM, IMAGES, NOT_COMPILED, OPTIMIZER, part_of  # noqa: E402
from crossmae.analysis.speed import synthetic_batch  # noqa: E402
from crossmae.pretraining import workload  # noqa: E402
from crossmae.pretraining.recipe import read_recipe  # noqa: E402
from crossmae.pretraining.run import load_pretraining_recipe  # noqa: E402
from crossmae.pretraining.workload import Autoencoding  # noqa: E402
from crossmae.train.config import Split  # noqa: E402
from crossmae.train.runtime.distributed import World  # noqa: E402
from crossmae.train.step import Updates  # noqa: E402
from tests.cuda_without_gpu.pretend import pretended_gpu, shallow  # noqa: E402

_H100 = SimpleNamespace(
    major=9,
    minor=0,
    multi_processor_count=132,
    regs_per_multiprocessor=65536,
    max_threads_per_multi_processor=2048,
    max_threads_per_block=1024,
    warp_size=32,
    gcnArchName="",
)
"""What inductor asks of the GPU: CUDA's figures of compute capability 9.0, and the H100 SXM's multiprocessors."""
_NO_WORK = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "lift_fresh", "_reshape_alias"}
_CHOOSING = {"index_select", "gather", "embedding"}
"""They read as much as they write, not all of their input."""


@dataclass(frozen=True)
class Kernel:
    """One kernel; a list operation of the optimizer counts as one, though CUDA launches it in pieces."""

    part: str
    name: str
    bytes: int
    """Read and written, each buffer once."""
    flops: int
    """Of matrix products and attention; 0 for everything else."""


@dataclass(frozen=True)
class Update:
    """The kernels of an update."""

    kernels: list[Kernel]
    graphs: int
    """Forward and backward: two, unless a graph breaks."""
    generated: int
    """Triton kernels that inductor wrote, by its own count."""


def eager_update(recipe: str, depth: int | None = None) -> Update:
    """The update as PyTorch dispatches it, operation by operation; views cost nothing."""
    kernels: list[Kernel] = []
    graphs = []

    def compiler(gm: fx.GraphModule, inputs: Sequence[Any]) -> Callable[[list[Any]], list[Any]]:
        graphs.append(gm)
        kernels.extend(_operations(gm.graph))
        return _outputs_of(gm)

    backend = aot_autograd(fw_compiler=compiler, bw_compiler=compiler)
    compile_module = nn.Module.compile

    def compile_eagerly(module: nn.Module, **_: Any) -> None:
        compile_module(module, backend=backend, dynamic=False)

    with mock.patch.object(nn.Module, "compile", compile_eagerly):
        _update(recipe, depth, kernels)
    return Update(kernels, len(graphs), 0)


def compiled_update(recipe: str, depth: int | None = None) -> Update:
    """The update as inductor's scheduler orders and fuses it, and writes it for CUDA."""
    kernels: list[Kernel] = []
    graphs = []

    def count(graph: inductor.GraphLowering) -> SimpleNamespace:
        graph.codegen()
        graphs.append(graph)
        kernels.extend(_scheduled(graph))
        return SimpleNamespace(call=_outputs_of(graph.module), __file__="", cache_key="", cache_path="")

    changes: dict[str, Any] = {
        "torch._inductor.graph.GraphLowering.compile_to_module": count,
        # Only kernels that are compiled need Triton itself.
        "torch._inductor.scheduler.has_triton": lambda *_: True,
        "torch.utils._triton.triton_hash_with_backend": lambda: "",
        "torch.cuda.get_device_properties": lambda *_: _H100,
        "torch.cuda.get_device_capability": lambda *_: (_H100.major, _H100.minor),
        "torch.cuda.current_device": lambda: 0,
    }
    metrics.reset()
    with ExitStack() as stack:
        for target, value in changes.items():
            stack.enter_context(mock.patch(target, value))
        for name, answer in {"get_device_properties": _H100, "is_bf16_supported": True}.items():
            stack.enter_context(mock.patch.object(CudaInterface, name, staticmethod(lambda *_, a=answer, **__: a)))
        _update(recipe, depth, kernels)
    return Update(kernels, len(graphs), metrics.generated_kernel_count)


def _update(recipe: str, depth: int | None, kernels: list[Kernel]) -> None:
    torch._dynamo.reset()
    chosen = read_recipe(load_pretraining_recipe(recipe, ("compile=true", "precision=bf16")), seed=0)
    if depth is not None:
        chosen = replace(chosen, model=shallow(chosen.model, depth))
    count = chosen.execution.per_device_batch
    execution = replace(chosen.execution, cuda_graphs=False)
    with (
        # Folding would make its constants on the GPU.
        torch._inductor.config.patch(force_disable_caches=True, joint_graph_constant_folding=False),
        pretended_gpu(),
        # Asked of the tensors' class, which is not that of a GPU's here.
        mock.patch("torch.nn.utils.clip_grad._has_foreach_support", return_value=True),
        _counted(workload, "normalize", IMAGES, kernels),
        _counted(Updates, "_clip", GRADIENT_NORM, kernels),
        _counted(Updates, "_apply", OPTIMIZER, kernels),
    ):
        world = World(0, 1, torch.device("cuda", 0))
        updates = Updates(Autoencoding(chosen), chosen.plan, execution, world, Split(1, 1, count))
        updates.prepare()
        batches = repeat(synthetic_batch(chosen, count, world.device))
        updates.make(0, 1e-3, batches, stop=False)
        # The first update compiles, and makes the optimizer's state.
        kernels[:] = [kernel for kernel in kernels if kernel.part not in NOT_COMPILED]
        updates.make(1, 1e-3, batches, stop=False)


@contextmanager
def _counted(owner: Any, name: str, part: str, kernels: list[Kernel]) -> Iterator[None]:
    """Counts what the function ``name`` of ``owner`` does, which is not compiled."""
    function = getattr(owner, name)

    def counted(*args: Any) -> Any:
        with _Dispatched(part, kernels):
            return function(*args)

    with mock.patch.object(owner, name, counted):
        yield


class _Dispatched(TorchDispatchMode):
    def __init__(self, part: str, kernels: list[Kernel]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.part, self.kernels = part, kernels

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        # Tensors on the CPU are constants that are made once.
        on_gpu = any(leaf.device.type == "cuda" for leaf in tree_leaves((args, out)) if isinstance(leaf, Tensor))
        if on_gpu and func.namespace == "aten" and (moved := _bytes(func, args, kwargs or {}, out)):
            self.kernels.append(Kernel(self.part, _name(func), moved, 0))
        return out


def _operations(graph: fx.Graph) -> Iterator[Kernel]:
    for node in graph.nodes:
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        args, kwargs, out = _values(node)
        if moved := _bytes(node.target, args, kwargs, out):
            yield Kernel(part_of([node]), _name(node.target), moved, _flops(node))


def _scheduled(graph: inductor.GraphLowering) -> Iterator[Kernel]:
    with virtualized.V.set_graph_handler(graph):
        for node in graph.scheduler.nodes:
            is_extern = isinstance(node, scheduler.ExternKernelSchedulerNode)
            if isinstance(node, scheduler.NopKernelSchedulerNode) or isinstance(node.node, ir.MultiOutput):
                continue
            origins = [origin for one in node.get_nodes() if one.node for origin in one.node.get_origins()]
            # The operations of a product's inputs are named with it, though kernels before it compute them.
            products = [origin for origin in origins if _flops(origin)] if is_extern else []
            names = {_name(one.target) for one in products or origins if isinstance(one.target, torch._ops.OpOverload)}
            part, flops = part_of(products or origins), sum(map(_flops, products))
            yield Kernel(part, "+".join(sorted(names)), _accessed(node), flops)


def _accessed(node: scheduler.BaseSchedulerNode) -> int:
    """Bytes as inductor counts them, but of a buffer that is read in part, such as one of stacked maps, that part."""
    parts: dict[str, dict[Any, int]] = defaultdict(dict)
    for access in (*node.read_writes.reads, *node.read_writes.writes):
        place = access.normalize() if isinstance(access, dependencies.MemoryDep) else access
        parts[access.name][place] = access.numbytes_hint()
    whole = node.get_read_write_buffer_accesses(include_reads=True, include_writes=True)
    return sum(min(size, sum(parts[name].values()) or size) for name, size in whole.items())


def _bytes(func: Any, args: Any, kwargs: Any, out: Any) -> int:
    """Bytes that an operation reads and writes: all its tensors once, those that it changes in place twice."""
    if _name(func) in _NO_WORK or func.is_view:
        return 0
    inputs = [(argument, value) for argument, value in zip(func._schema.arguments, args, strict=False)]
    named = {argument.name: argument for argument in func._schema.arguments}
    inputs += [(named[name], value) for name, value in kwargs.items() if name in named]
    read = sum(_size(value) for _, value in inputs)
    # The fused optimizer's schema says that it changes gradients, which it only does to unscale them.
    changed = sum(_size(v) for a, v in inputs if a.alias_info and a.alias_info.is_write and a.name != "grads")
    made = 0 if changed else _size(out)
    if _name(func) in _CHOOSING:
        return 2 * made
    return read + changed + made


def _size(values: Any) -> int:
    """Bytes of the tensors in ``values``; what is repeated by a stride of zero counts once."""
    total = 0
    for tensor in tree_leaves(values):
        if isinstance(tensor, Tensor):
            elements = 1
            for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
                elements *= length if stride else 1
            total += elements * tensor.element_size()
    return total


def _flops(node: fx.Node) -> int:
    packet = getattr(node.target, "overloadpacket", None)
    if packet not in flop_registry:
        return 0
    args, kwargs, out = _values(node)
    return int(flop_registry[packet](*args, **kwargs, out_val=out))


def _values(node: fx.Node) -> tuple[Any, Any, Any]:
    """The shapes that a node is given and gives."""
    args, kwargs = tree_map_only(fx.Node, lambda one: one.meta.get("val"), (node.args, node.kwargs))
    return args, kwargs, node.meta.get("val")


def _name(func: Any) -> str:
    return str(func._schema.name.removeprefix("aten::"))


def _outputs_of(gm: nn.Module) -> Callable[[list[Any]], list[Any]]:
    """Stands for the compiled graph: takes its inputs, gives shapes."""
    assert isinstance(gm, fx.GraphModule)
    (outputs,) = next(node for node in gm.graph.nodes if node.op == "output").args
    values = [out.meta["val"] if isinstance(out, fx.Node) else out for out in outputs]

    def call(inputs: list[Any]) -> list[Any]:
        inputs.clear()
        return [
            torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)
            if isinstance(value, Tensor)
            else value
            for value in values
        ]

    call._boxed_call = True  # type: ignore[attr-defined]
    return call


if __name__ == "__main__":
    way, recipe, *depth = sys.argv[1:]
    update = {"eager": eager_update, "compiled": compiled_update}[way]
    print(json.dumps(asdict(update(recipe, int(depth[0]) if depth else None))))
