"""Operations on tensors whose memory and views are made once and used by every call.

Looking up views and asking for memory costs more than the arithmetic on small grids, and page
faults on new memory cost more than the arithmetic on large ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from piddm.residuals.programs.memory_layout import contiguous

Slots = list[Any]
Operation = Callable[[Slots], Any]

IDLE = 2
"""How many sets of memory are kept for later calls: one of each of two threads."""


@dataclass
class Memory:
    """The buffers of one run at a time, and the tensors that operations find by their slot."""

    buffers: list[Any]
    slots: Slots


@dataclass
class Lease:
    """Memory that somebody still reads; it goes back when they are done."""

    tape: Tape
    memory: Memory

    def __del__(self) -> None:
        self.tape.give_back(self.memory)


@dataclass
class Tape:
    """A straight line of operations.

    A buffer is the tape's own, given by the caller, or a result that is made for the caller. Each
    has ``batch`` samples one after another, and a view of it is ``(batch, *lengths)``.

    Args:
        batch: Number of samples.
        dtype: Of all buffers.
        device: Of all buffers.
    """

    batch: int
    dtype: torch.dtype
    device: torch.device
    slack: int = 0
    operations: list[Operation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kinds: list[str] = []
        self._sizes: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        self._free: dict[int, list[int]] = {}
        self._views: dict[tuple[Any, ...], int] = {}
        self._numbers: dict[int, Tensor] = {}
        self._slots = 0
        self._idle: list[Memory] = []

    # Written once, by what builds the tape.

    def own(self, size: int, fresh: bool = False) -> int:
        """Return a buffer of so many values per sample; a fresh one is zero at first."""
        idle = self._free.get(size)
        if idle and not fresh:
            return idle.pop()
        return self._buffer("own", (size,))

    def release(self, buffer: int) -> None:
        """Let later operations use a buffer of the tape's own."""
        if self._kinds[buffer] == "own":
            self._free.setdefault(self._sizes[buffer], []).append(buffer)

    def given(self, lengths: Sequence[int]) -> int:
        """Return a buffer that the caller brings; in the order of these calls."""
        return self._buffer("given", lengths)

    def result(self, lengths: Sequence[int]) -> int:
        """Return a buffer that the caller takes; in the order of these calls."""
        return self._buffer("result", lengths)

    def shape(self, buffer: int) -> tuple[int, ...]:
        """Return the shape of a buffer's samples."""
        return self._shapes[buffer]

    def view(
        self, buffer: int, lengths: Sequence[int], strides: Sequence[int], offset: int = 0
    ) -> int:
        """Return the slot of a part of a buffer."""
        key = (buffer, tuple(lengths), tuple(strides), offset)
        if self._kinds[buffer] == "own":
            self.slack = max(self.slack, -offset)
        if key not in self._views:
            self._views[key] = self._slot()
        return self._views[key]

    def whole(self, buffer: int, lengths: Sequence[int]) -> int:
        """Return the slot of a buffer without gaps, in a shape."""
        return self.view(buffer, lengths, contiguous(lengths))

    def number(self, value: Tensor) -> int:
        """Return the slot of numbers known now."""
        slot = self._slot()
        dtype = self.dtype if value.is_floating_point() else value.dtype
        self._numbers[slot] = value.to(self.device, dtype).contiguous()
        return slot

    def do(self, operation: Operation) -> None:
        """Append an operation."""
        self.operations.append(operation)

    def _buffer(self, kind: str, lengths: Sequence[int]) -> int:
        self._kinds.append(kind)
        self._sizes.append(math.prod(lengths))
        self._shapes.append(tuple(lengths))
        return len(self._kinds) - 1

    def _slot(self) -> int:
        self._slots += 1
        return self._slots - 1

    # Run.

    def finish(self) -> Tape:
        """Sort the views by whose memory they are in."""
        kinds: dict[str, list[int]] = {"given": [], "result": [], "own": []}
        for buffer, kind in enumerate(self._kinds):
            kinds[kind].append(buffer)
        self._results = [(self.batch, *self._shapes[b]) for b in kinds["result"]]
        order = {b: k for k, b in enumerate((*kinds["given"], *kinds["result"]))}
        self._whole: list[tuple[int, int]] = []
        self._parts: list[tuple[int, int, tuple[int, ...], tuple[int, ...], int]] = []
        for (buffer, lengths, strides, offset), slot in self._views.items():
            if buffer not in order:
                continue
            own = self._shapes[buffer]
            if lengths == own and strides == contiguous(own) and not offset:
                self._whole.append((slot, order[buffer]))
            else:
                size = (self.batch, *lengths), (self._sizes[buffer], *strides)
                self._parts.append((slot, order[buffer], *size, offset))
        self._borrowed = [slot for slot, *_ in (*self._whole, *self._parts)]
        return self

    def run(self, given: Sequence[Tensor]) -> tuple[list[Tensor], Memory]:
        """Run the operations; nothing may record them.

        Args:
            given: Tensors ``(batch, *lengths)`` without gaps.

        Returns:
            The results ``(batch, *lengths)``, and the memory, to be given back.
        """
        try:  # another thread may take the last one between a look and a hold
            memory = self._idle.pop()
        except IndexError:
            memory = self._memory()
        slots = memory.slots
        results = [
            torch.empty(shape, dtype=self.dtype, device=self.device) for shape in self._results
        ]
        outside = (*given, *results)
        for slot, source in self._whole:
            slots[slot] = outside[source]
        begins = [tensor.storage_offset() for tensor in outside]
        for slot, source, lengths, strides, offset in self._parts:
            slots[slot] = outside[source].as_strided(lengths, strides, begins[source] + offset)
        for operation in self.operations:
            operation(slots)
        for slot in self._borrowed:  # what is the caller's is not to live longer
            slots[slot] = None
        return results, memory

    def give_back(self, memory: Memory) -> None:
        """Let a later run use the memory of one that nobody reads any more."""
        if len(self._idle) < IDLE:
            self._idle.append(memory)

    def _memory(self) -> Memory:
        with torch.inference_mode(False), torch.no_grad():  # to be of use outside of it too
            buffers: list[Any] = []
            for kind, size in zip(self._kinds, self._sizes, strict=True):
                zeros = None
                if kind == "own":  # zero before and, where it matters, between the values
                    zeros = torch.zeros(
                        self.batch, self.slack + size, dtype=self.dtype, device=self.device
                    )
                buffers.append(zeros)
            slots: Slots = [None] * self._slots
            for (buffer, lengths, strides, offset), slot in self._views.items():
                if self._kinds[buffer] == "own":
                    pitch = self.slack + self._sizes[buffer]
                    slots[slot] = buffers[buffer].as_strided(
                        (self.batch, *lengths), (pitch, *strides), self.slack + offset
                    )
            for slot, value in self._numbers.items():
                slots[slot] = value
        return Memory(buffers, slots)
