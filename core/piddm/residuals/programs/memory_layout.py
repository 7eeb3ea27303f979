"""Where results lie in memory: most of them in one frame, where a shift is a flat offset.

The frame is the grid with what periodic fields are continued by. A result in the frame has the
frame's strides, however small it is, so that a neighbour along any axis is a fixed distance away
and a pass is one loop over a sample. What such a loop computes between the rows of a smaller
result is never read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from piddm.residuals.programs.steps import (
    Apply,
    Constant,
    Load,
    Pick,
    Power,
    Product,
    Scalar,
    Step,
    Sum,
    sources,
)

Starts = Sequence[int | None]


class MemoryLayout:
    """The frame of a program, and which results lie in it.

    Args:
        steps: The program's.
        lengths: Shape of each result.
        shape: The grid's.

    Attributes:
        pads: How far beyond its seams each axis of the frame reaches.
        frame: Its shape; ``strides`` and ``size`` are those of one sample.
        periodic: Whether the frame is larger than the grid.
        fields: Names of the fields that are read.
        framed: Whether each result lies in the frame; else it has memory of its own shape.
        offsets: Where each result begins in its memory: not at 0 where it is part of a field.
        reads: Names of the inputs that each result depends on.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        lengths: Sequence[tuple[int, ...]],
        shape: tuple[int, ...],
    ) -> None:
        self.steps, self.lengths, self.shape = steps, lengths, shape
        loads = [s for s in steps if isinstance(s, Load)]
        self.pads = [
            (max([0, *(-s.place[d].start for s in loads)]),
             max([0, *(s.place[d].stop - n for s in loads)]))
            for d, n in enumerate(shape)
        ]  # fmt: skip
        self.frame = tuple(n + sum(pad) for n, pad in zip(shape, self.pads, strict=True))
        self.strides = contiguous(self.frame)
        self.size = math.prod(self.frame)
        self.periodic = self.frame != self.shape
        self.fields = tuple(dict.fromkeys(s.name for s in steps if isinstance(s, (Load, Pick))))
        self.reads: list[frozenset[str]] = []
        self.framed: list[bool] = []
        self.offsets: list[int] = []
        for position, step in enumerate(steps):
            own = {step.name} if isinstance(step, (Load, Pick, Scalar)) else set()
            self.reads.append(frozenset(own.union(*(self.reads[s] for s in sources(step)))))
            self.framed.append(self._in_frame(position, step))
            start = 0
            if isinstance(step, Load):
                begins = [x.start + b for x, (b, _) in zip(step.place, self.pads, strict=True)]
                start = self.distance(begins)
            self.offsets.append(start)

    def distance(self, starts: Starts) -> int:
        """Return how far into the frame a range begins."""
        return sum((s or 0) * k for s, k in zip(starts, self.strides, strict=True))

    def extent(self, lengths: Sequence[int]) -> int:
        """Return how far a result reaches from its first value to its last, both counted."""
        return 1 + sum((n - 1) * k for n, k in zip(lengths, self.strides, strict=True))

    def number(self, position: int) -> bool:
        """Return whether a result is one value per sample."""
        return math.prod(self.lengths[position]) == 1

    def follows(self, source: int, lengths: tuple[int, ...]) -> bool:
        """Return whether a result can be read by a flat loop that computes another."""
        if isinstance(self.steps[source], Constant) or self.number(source):
            return True
        own = self.lengths[source]
        spread = any(n == 1 and m != 1 for n, m in zip(own, lengths, strict=True))
        return self.framed[source] and not spread

    def _in_frame(self, position: int, step: Step) -> bool:
        if isinstance(step, Load):
            return True
        if not isinstance(step, (Sum, Product, Power, Apply)):
            return False
        own = self.lengths[position]
        # A face across the strides would drag the whole box along.
        if not self.reads[position] or self.extent(own) > 2 * math.prod(own):
            return False
        of = sources(step)
        large = any(self.framed[s] and not (self.number(s) and math.prod(own) > 1) for s in of)
        return large and all(self.follows(s, own) for s in of)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor without gaps."""
    return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))
