"""Periodic fields beyond their seams, in the frame: continued, and the adjoint of that."""

from __future__ import annotations

from piddm.residuals.programs.memory_layout import MemoryLayout
from piddm.residuals.programs.operands import add, scale
from piddm.residuals.programs.tape import Tape


def continued(layout: MemoryLayout, tape: Tape, field: int, buffer: int) -> None:
    """Write a field's buffer to a buffer of the frame, and continue it beyond the seams."""
    begins = [before for before, _ in layout.pads]
    target = tape.view(buffer, layout.shape, layout.strides, layout.distance(begins))
    scale(tape, tape.whole(field, layout.shape), 1.0, target)
    lengths = list(layout.shape)
    for d, ((before, after), n) in enumerate(zip(layout.pads, layout.shape, strict=True)):
        for length, start, source in ((before, 0, n), (after, before + n, before)):
            if length:
                lengths[d] = length
                there, here = (
                    tape.view(buffer, lengths, layout.strides,
                              layout.distance([*begins[:d], at, *begins[d + 1:]]))
                    for at in (start, source)
                )  # fmt: skip
                scale(tape, here, 1.0, there)
        lengths[d], begins[d] = layout.frame[d], 0


def fold(layout: MemoryLayout, tape: Tape, buffer: int) -> None:
    """Add what lies beyond the seams to where it came from."""
    lengths, begins = list(layout.frame), [0] * len(layout.frame)
    for d in reversed(range(len(lengths))):
        (before, after), n = layout.pads[d], layout.shape[d]
        for length, start, source in ((before, 0, n), (after, before + n, before)):
            if length:
                lengths[d] = length
                edge, inner = (
                    tape.view(buffer, lengths, layout.strides,
                                   layout.distance([*begins[:d], at, *begins[d + 1:]]))
                    for at in (start, source)
                )  # fmt: skip
                add(tape, inner, edge, 1.0, inner)
        lengths[d], begins[d] = n, before
