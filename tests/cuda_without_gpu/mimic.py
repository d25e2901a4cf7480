"""A GPU that computes on the CPU: its tensors say ``cuda:0``, mixing devices raises, every wait of the host is noted.

The guard must be loaded before this module is imported (see ``guard.load``).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.cuda_without_gpu.waits import line_of_ours, wait_of

# Tensors of inference mode cannot be wrapped; decorators take it when their modules are imported.
torch.inference_mode = lambda mode=True: torch.no_grad()  # type: ignore[assignment,misc,return-value]

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
_COPIES = {"copy_", "_to_copy", "_copy_from", "_copy_from_and_resize"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


class MixedDevicesError(RuntimeError):
    """An operation on tensors of both devices, which CUDA refuses."""


class GpuTensor(Tensor):
    """Wraps a CPU tensor, and says that it lies on the GPU."""

    wrapped: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # a C function

    @staticmethod
    def __new__(cls, inner: Tensor) -> "GpuTensor":
        wrapper: GpuTensor = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=GPU,
        )
        return wrapper

    def __init__(self, inner: Tensor) -> None:
        self.wrapped = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        """As a tensor of a GPU: copied to the CPU first."""
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.cpu().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> Tensor:
        return self.detach().clone().requires_grad_(self.requires_grad)


waits: list[str] = []
"""What the host waited for so far, each with the line that asked for it."""


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Runs one operation on the CPU after the checks that a GPU would make."""
    name = func._schema.name.removeprefix("aten::")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    ours = [tensor for tensor in tensors if isinstance(tensor, GpuTensor)]
    if name == "_fused_sdp_choice" and ours:
        return 0
    if wait := wait_of(name, args, kwargs, on_gpu=bool(ours)):
        waits.append(f"{wait}: {line_of_ours()}")
    if ours and name not in _COPIES:
        _refuse_mixed(name, args, tensors)
    device = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    out = _on_cpu(func, name, args, kwargs, device)
    on_gpu = device.type == "cuda" if device is not None else bool(ours)
    if name == "copy_":
        on_gpu = isinstance(args[0], GpuTensor)
    if not on_gpu:
        return out
    out = tree_map_only(Tensor, lambda leaf: leaf if isinstance(leaf, GpuTensor) else GpuTensor(leaf), out)
    if not ours or out is None:
        return out
    try:
        return return_and_correct_aliasing(func, args, kwargs, out)
    except AssertionError:  # Operations whose schema says nothing of aliases.
        return out


def _on_cpu(func: Any, name: str, args: Any, kwargs: dict[str, Any], device: torch.device | None) -> Any:
    plain_args, plain_kwargs = tree_map_only(GpuTensor, lambda leaf: leaf.wrapped, (args, kwargs))
    if device is not None:
        plain_kwargs = {**plain_kwargs, "device": CPU}
    if name != "_pin_memory":
        plain_kwargs.pop("pin_memory", None)
    return func(*plain_args, **plain_kwargs)


def _refuse_mixed(name: str, args: Any, tensors: list[Tensor]) -> None:
    others = [tensor for tensor in tensors if not isinstance(tensor, GpuTensor) and tensor.dim() > 0]
    if others and name in _INDEXING:  # CUDA copies an index that lies on the CPU, and the host waits for it.
        waits.append(f"{name} by an index on the CPU: {line_of_ours()}")
        others = [tensor for tensor in others if tensor is args[0]]
    if others:
        places = [(str(tensor.device), tuple(tensor.shape)) for tensor in tensors]
        raise MixedDevicesError(f"{name} of {places} at {line_of_ours()}")


class _Mode(TorchDispatchMode):
    """Catches tensors that are made on the GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        device = kwargs.get("device")
        wanted = device is not None and torch.device(device).type == "cuda"
        if wanted or any(issubclass(kind, GpuTensor) for kind in types):
            return compute(func, args, kwargs)
        return func(*args, **kwargs)


class _Event:
    def __init__(self, *_: Any, **__: Any) -> None: ...
    def record(self, *_: Any) -> None: ...
    def synchronize(self) -> None: ...
    def elapsed_time(self, _: Any) -> float:
        return 1.0


class _Stream:
    device = GPU

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def record_event(self, *_: Any) -> _Event:
        return _Event()

    def wait_event(self, _: Any) -> None: ...
    def wait_stream(self, _: Any) -> None: ...
    def synchronize(self) -> None: ...


class _Properties:
    name, major, minor = "NVIDIA H100 80GB HBM3", 9, 0
    total_memory, multi_processor_count = 80 << 30, 132


def _apply(module: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    for child in module.children():
        child._apply(change)
    for name, parameter in module._parameters.items():
        if parameter is None:
            continue
        with torch.no_grad():
            moved = change(parameter)
        gradient = None if parameter.grad is None else change(parameter.grad)
        if moved is not parameter:
            module._parameters[name] = nn.Parameter(moved, parameter.requires_grad)
        placed = module._parameters[name]
        assert placed is not None
        placed.grad = gradient
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = change(buffer)
    return module


@contextmanager
def gpu(devices: int = 1) -> Iterator[list[str]]:
    """A machine with GPUs that mimic; yields the waits of the host, in their order."""
    without_pinning = torch.empty_like

    def empty_like(*args: Any, pin_memory: bool = False, **options: Any) -> Tensor:
        return without_pinning(*args, **options)

    surface: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "is_bf16_supported": lambda *_, **__: True,
        "device_count": lambda: devices,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "synchronize": lambda *_: waits.append(f"torch.cuda.synchronize: {line_of_ours()}"),
        "Event": _Event,
        "Stream": _Stream,
        "stream": lambda _: nullcontext(),
        "current_stream": lambda *_: _Stream(),
        "get_device_name": lambda *_: _Properties.name,
        "get_device_properties": lambda *_: _Properties,
        "get_device_capability": lambda *_: (_Properties.major, _Properties.minor),
        "manual_seed": lambda _: None,
        "manual_seed_all": lambda _: None,
        "empty_cache": lambda: None,
        "_lazy_init": lambda: None,
        "reset_peak_memory_stats": lambda *_, **__: None,
        **dict.fromkeys(
            ("max_memory_allocated", "memory_allocated", "max_memory_reserved", "memory_reserved"),
            lambda *_, **__: 1 << 30,
        ),
    }
    changes = {
        **{f"torch.cuda.{name}": value for name, value in surface.items()},
        "torch.cuda.amp.common.amp_definitely_not_available": lambda: False,
        "torch.nn.Module._apply": _apply,
        "torch.Tensor.pin_memory": lambda tensor, *_: tensor,
        "torch.Tensor.record_stream": lambda *_: None,
        "torch.empty_like": empty_like,
    }
    with ExitStack() as stack:
        for target, value in changes.items():
            stack.enter_context(mock.patch(target, value))
        torch._C._set_only_lift_cpu_tensors(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, False)
        stack.enter_context(_Mode())  # type: ignore[no-untyped-call]
        waits.clear()
        yield waits
