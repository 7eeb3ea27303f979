"""A second device that is none: its tensors refuse to meet those of the CPU, and tell of waiting.

Every number is computed on the CPU. What is checked is where tensors are: an operation of tensors
on both devices fails as it would on a real one, numbers without a dimension excepted, and so does
NumPy. Each time that the host would have to wait for the device is counted, with its place.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended"
"""The name of the device, as ``--device`` would have it."""

MOVES = {"aten::copy_", "aten::_to_copy", "aten::_copy_from", "aten::_copy_from_and_resize"}
"""Operations that may read one device and write another."""

INDEXING = {"aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"}
"""Operations whose positions may be on the CPU, though it costs a copy."""

WAITS = {
    "aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select",
    "aten::is_nonzero", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive",
    "aten::_linalg_check_errors", "aten::bincount",
}  # fmt: skip
"""Operations whose result, or its shape, the host must know: it waits for the device."""


LIBRARY = torch.library.Library("_", "IMPL")
"""Where it is said that mixed precision leaves operations on the device as they are."""


class _Module:
    """What torch asks of a device's module."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class Placed(Tensor):
    """A tensor that says it is on the pretended device; ``values_here`` are its values."""

    values_here: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Placed:
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        made.values_here = inner
        return made

    def tolist(self) -> Any:  # torch refuses it to subclasses
        return self.detach().cpu().tolist()

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None) -> Tensor:  # pyright: ignore
        return torch.tensor(data, dtype=dtype or self.dtype).to(self.device)

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {}, None)


class Device(TorchDispatchMode):
    """The mode in which the pretended device exists.

    Attributes:
        waits: How often the host waited for the device, by operation and line of piddm.
        arrivals: Bytes that were copied from the host to the device, by line of piddm.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.arrivals: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if any(isinstance(v, Placed) for v in leaves) or _there(kwargs.get("device")):
            return _run(function, args, kwargs, self)
        return function(*args, **kwargs)


@contextmanager
def pretended_device() -> Iterator[Device]:
    """Have the device within a block."""
    if not hasattr(torch, NAME):
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
        LIBRARY.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    with Device() as device:
        yield device


def _run(function: Any, args: Any, kwargs: dict[str, Any], mode: Device | None) -> Any:
    name = function.name().split(".")[0]
    if name == "aten::_efficientzerotensor":  # which has no memory that could be wrapped
        function = torch.ops.aten.zeros.default
    place = kwargs.get("device")
    leaves = tree_leaves((args, kwargs))
    here = [v for v in leaves if isinstance(v, Tensor) and not isinstance(v, Placed)]
    there = [v for v in leaves if isinstance(v, Placed)]
    if name in INDEXING:  # positions may come from the CPU: each time they are copied
        if mode is not None and any(isinstance(v, Tensor) for v in tree_leaves(args[1])):
            for value in tree_leaves(args[1]):
                if isinstance(value, Tensor) and value.dtype == torch.bool:
                    mode.waits[f"{name} of a mask {_line()}"] += 1
                elif isinstance(value, Tensor) and not isinstance(value, Placed):
                    mode.waits[f"{name} at positions of the host {_line()}"] += 1
                    mode.arrivals[_line()] += value.nbytes
        here = [v for v in here if all(v is not w for w in tree_leaves(args[1]))]
    if name not in MOVES and there and any(v.dim() for v in here):
        shapes = [tuple(v.shape) for v in here if v.dim()]
        raise AssertionError(f"{name} meets tensors of the CPU, {shapes}, {_line()}")
    if _there(place) and any(isinstance(v, torch.Generator) for v in leaves):
        raise AssertionError(f"{name} draws on the device with a generator of the CPU, {_line()}")
    if mode is not None:
        if name in WAITS or (name in MOVES and there and _leaves(function, args, kwargs, leaves)):
            mode.waits[f"{name} {_line()}"] += 1
        if name in MOVES and here and _arrives(function, args, kwargs):
            mode.arrivals[_line()] += sum(v.nbytes for v in here)
            if not _goes_on(name, args, kwargs):
                mode.waits[f"{name} from the host {_line()}"] += 1
    inner_kwargs = {**kwargs, "device": torch.device("cpu")} if _there(place) else kwargs
    found = function(*tree_map(_inner, args), **tree_map(_inner, inner_kwargs))
    stays = _there(place) if place is not None else bool(there)
    if name == "aten::copy_":
        return args[0]
    if stays:
        found = tree_map(lambda v: Placed(v) if isinstance(v, Tensor) else v, found)
    return return_and_correct_aliasing(function, args, kwargs, found) if there and stays else found


def _leaves(function: Any, args: Any, kwargs: dict[str, Any], leaves: list[Any]) -> bool:
    """Whether a copy takes values from the device to the host."""
    if function.name().startswith("aten::copy_"):
        return not isinstance(args[0], Placed)
    place = kwargs.get("device")
    return place is not None and not _there(place)


def _arrives(function: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a copy takes values from the host to the device."""
    if function.name().startswith("aten::copy_"):
        return isinstance(args[0], Placed)
    return _there(kwargs.get("device"))


def _goes_on(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the host goes on while a copy is made."""
    third = name == "aten::copy_" and len(args) > 2 and args[2]
    return bool(third or kwargs.get("non_blocking"))


def _inner(value: Any) -> Any:
    return value.values_here if isinstance(value, Placed) else value


def _there(place: Any) -> bool:
    return place is not None and torch.device(place).type == NAME


def _line() -> str:
    for frame in reversed(traceback.extract_stack()):
        if "/piddm" in frame.filename and "/tests/" not in frame.filename:
            return f"at {frame.filename.split('/piddm', 1)[1].lstrip('/')}:{frame.lineno}"
    return "at a line of the test"
