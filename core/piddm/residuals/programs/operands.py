"""The results of a program as the tensors of a tape: flat in the frame, or as boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from piddm.residuals.programs.memory_layout import MemoryLayout, Starts, contiguous
from piddm.residuals.programs.steps import Constant, Load
from piddm.residuals.programs.tape import Tape


class Operands:
    """Views of results.

    Args:
        layout: Where they lie.
        tape: What reads them.

    Attributes:
        buffers: The buffer of each result by its position, and of each input by its name.
    """

    def __init__(self, layout: MemoryLayout, tape: Tape) -> None:
        self.layout, self.tape = layout, tape
        self.buffers: dict[int | str, int] = {}
        self._numbers: dict[Any, int] = {}

    def base(self, position: int) -> int | str:
        """Return whose buffer holds a result."""
        step = self.layout.steps[position]
        return step.name if isinstance(step, Load) else position

    def flat(self, position: int, starts: Starts, lengths: tuple[int, ...]) -> int:
        """Return the slot of ``(batch, extent)``: a range of a result of a shape, in the frame.

        Args:
            position: The result.
            starts: Where the range starts.
            lengths: Its shape.
        """
        layout, tape = self.layout, self.tape
        if isinstance(layout.steps[position], Constant):
            return self._constant(position, starts, lengths)
        extent, offset = 1, layout.offsets[position]
        if not layout.number(position):
            extent, offset = layout.extent(lengths), offset + layout.distance(starts)
        return tape.view(self.buffers[self.base(position)], (extent,), (1,), offset)

    def box(self, position: int, starts: Starts, lengths: Sequence[int]) -> int:
        """Return the slot of ``(batch, *lengths)``, lengths of 1 where a result is spread."""
        layout, own = self.layout, self.layout.lengths[position]
        if isinstance(step := layout.steps[position], Constant):
            key = (position, tuple(starts), tuple(lengths))
            if key not in self._numbers:
                value = step.value
                for d, (start, n) in enumerate(zip(starts, lengths, strict=True)):
                    if start is not None and own[d] != 1:
                        value = value.narrow(d + 1, start, n)
                self._numbers[key] = self.tape.number(value)
            return self._numbers[key]
        part = tuple(1 if n == 1 else m for n, m in zip(own, lengths, strict=True))
        strides = layout.strides if layout.framed[position] else contiguous(own)
        begin = sum((s or 0) * k for s, k, n in zip(starts, strides, own, strict=True) if n != 1)
        buffer = self.buffers[self.base(position)]
        return self.tape.view(buffer, part, strides, layout.offsets[position] + begin)

    def whole(self, position: int) -> int:
        """Return the slot of all of a result."""
        lengths = self.layout.lengths[position]
        return self.box(position, (None,) * len(lengths), lengths)

    def _constant(self, position: int, starts: Starts, lengths: tuple[int, ...]) -> int:
        """Return the slot of numbers in the frame, zero between the rows."""
        key = (position, tuple(starts), lengths, "flat")
        if key not in self._numbers:
            step, own = self.layout.steps[position], self.layout.lengths[position]
            assert isinstance(step, Constant)
            value = step.value
            for d, (start, n) in enumerate(zip(starts, lengths, strict=True)):
                if start is not None and own[d] != 1:
                    value = value.narrow(d + 1, start, n)
            if value.numel() > 1:
                room = value.new_zeros(1, self.layout.extent(lengths))
                room.as_strided((1, *lengths), (1, *self.layout.strides)).copy_(value)
                value = room
            self._numbers[key] = self.tape.number(value.reshape(1, -1))
        return self._numbers[key]


def add(tape: Tape, left: int, right: int, weight: float, out: int) -> None:
    """Append ``left + weight * right``."""
    tape.do(lambda s: torch.add(s[left], s[right], alpha=weight, out=s[out]))


def addcmul(tape: Tape, total: int, left: int, right: int, weight: float, out: int) -> None:
    """Append ``total + weight * left * right``."""
    tape.do(lambda s: torch.addcmul(s[total], s[left], s[right], value=weight, out=s[out]))


def multiply(tape: Tape, left: int, right: int, out: int) -> None:
    """Append ``left * right``."""
    tape.do(lambda s: torch.mul(s[left], s[right], out=s[out]))


def scale(tape: Tape, value: int, factor: float, out: int) -> None:
    """Append ``factor * value``; a mere copy where the factor is 1."""
    if factor == 1:
        tape.do(lambda s: s[out].copy_(s[value]))
    else:
        tape.do(lambda s: torch.mul(s[value], factor, out=s[out]))
