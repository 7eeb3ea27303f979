"""What the host knows of a tensor on a device: to read it is to wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


class Remembered(Generic[Value]):
    """A number or so that is read from a tensor, and read again only when the tensor has changed.

    Args:
        read: What is read.
    """

    def __init__(self, read: Callable[[Tensor], Value]) -> None:
        self._read = read
        self._last: tuple[Tensor, int, Value] | None = None

    def __call__(self, tensor: Tensor) -> Value:
        """Return what is read from a tensor; only of the last one it is remembered."""
        if tensor.is_inference():  # such tensors do not count their changes
            return self._read(tensor)
        if self._last and self._last[0] is tensor and self._last[1] == tensor._version:
            return self._last[2]
        value = self._read(tensor)
        self._last = (tensor, tensor._version, value)
        return value
