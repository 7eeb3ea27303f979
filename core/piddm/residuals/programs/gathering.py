"""Gradients of results, gathered from those who used them, and the memory that they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from piddm.residuals.programs.gradients import Gradient, Other, Term, added
from piddm.residuals.programs.memory_layout import contiguous
from piddm.residuals.programs.operands import Operands, add, addcmul, multiply, scale
from piddm.residuals.programs.tape import Tape

if TYPE_CHECKING:
    from piddm.residuals.programs.program import Program


class Gathering:
    """Adds up what each gradient is made of, once, and frees what has been read.

    Args:
        program: The program whose results the gradients are of.
        operands: The values that there are.
        tape: The adjoint's, to which passes are appended.

    Attributes:
        terms: Parts that a loop over the frame adds, by the result or input that they are of.
        others: Parts that no such loop can add.
    """

    def __init__(self, program: Program, operands: Operands, tape: Tape) -> None:
        self.program, self.layout = program, program.layout
        self.operands, self.tape = operands, tape
        self.terms: dict[int | str, list[Term]] = {}
        self.others: dict[int | str, list[Other]] = {}
        self._holds: dict[int, int] = {}

    def touched(self) -> set[int | str]:
        """Return the results and inputs whose gradients have parts."""
        return {*self.terms, *self.others}

    def hold(self, gradient: Gradient) -> Gradient:
        """Note that somebody will read a gradient."""
        if gradient.buffer in self._holds:
            self._holds[gradient.buffer] += 1
        return gradient

    def let_go(self, gradient: Gradient) -> None:
        """Note that somebody has; when all have, its memory may be used again."""
        if gradient.buffer in self._holds:
            self._holds[gradient.buffer] -= 1
            if not self._holds[gradient.buffer]:
                del self._holds[gradient.buffer]
                self.tape.release(gradient.buffer)

    def _own(self, size: int) -> int:
        buffer = self.tape.own(size)
        self._holds[buffer] = 0
        return buffer

    def box(self, gradient: Gradient, lengths: tuple[int, ...]) -> int:
        """Return the slot of a gradient, but for its weight."""
        strides = self.layout.strides if gradient.framed else contiguous(lengths)
        return self.tape.view(gradient.buffer, lengths, strides, -gradient.shift)

    def gathered(self, position: int) -> Gradient | None:
        """Return a result's gradient; nothing is computed where it is part of another one."""
        terms, others = self.merged(position), self.others.pop(position, [])
        if not terms and not others:
            return None
        framed, lengths = self.layout.framed[position], self.program.lengths[position]
        if len(terms) == 1 and not others and terms[0].factor is None:
            return terms[0].gradient
        size = self.layout.size if framed else math.prod(lengths)
        buffer = self._own(size)
        strides = self.layout.strides if framed else contiguous(lengths)
        weight = self.add_up(buffer, size, strides, terms, others)
        return self.hold(Gradient(buffer, weight=weight, framed=framed))

    def merged(self, key: int | str) -> list[Term]:
        """Return the terms of a gradient, those alike as one, the first of weight 1 if any is."""
        found: dict[Term, float] = {}
        for term in self.terms.pop(key, []):
            bare = replace(term, gradient=replace(term.gradient, weight=1.0))
            if bare in found:
                self.let_go(term.gradient)
            found[bare] = found.get(bare, 0.0) + term.gradient.weight
        out = [replace(t, gradient=replace(t.gradient, weight=w)) for t, w in found.items()]
        return sorted(out, key=lambda t: (t.factor is not None, t.gradient.weight != 1))

    def add_up(
        self,
        buffer: int,
        size: int,
        strides: Sequence[int],
        terms: list[Term],
        others: list[Other],
    ) -> float:
        """Compute a gradient up to the weight that is returned."""
        tape = self.tape
        out, weight = tape.view(buffer, (size,), (1,)), 1.0
        total: int | None = None
        if terms:
            weight = terms[0].gradient.weight
        else:
            tape.do(lambda s: s[out].zero_())
        for k, term in enumerate(terms):
            gradient = term.gradient
            part = gradient.weight / weight
            if term.factor is None:
                slot = tape.view(gradient.buffer, (size,), (1,), -gradient.shift)
                if k == 0:
                    total = slot
                    if len(terms) == 1:
                        scale(tape, slot, 1.0, out)
                else:
                    assert total is not None
                    add(tape, total, slot, part, out)
                    total = out
                continue
            extent, begin = self.layout.extent(term.lengths), term.begin
            slot = tape.view(gradient.buffer, (extent,), (1,), -gradient.shift)
            values = self.operands.flat(term.factor, (None,) * len(term.lengths), term.lengths)
            there = tape.view(buffer, (extent,), (1,), begin)
            if total is None:
                multiply(tape, slot, values, there)
                for at, count in ((0, begin), (begin + extent, size - begin - extent)):
                    if count:
                        rest = tape.view(buffer, (count,), (1,), at)
                        tape.do(lambda s, rest=rest: s[rest].zero_())
            else:
                if total != out and extent < size:
                    scale(tape, total, 1.0, out)
                    total = out
                addcmul(tape, there if total == out else total, slot, values, part, there)
            total = out
        for other in others:
            begin = sum(s * k for s, k in zip(other.starts, strides, strict=True))  # pyright: ignore
            there = tape.view(buffer, other.lengths, strides, begin)
            tape.do(added(there, other, other.weight / weight))
        for part in (*terms, *others):
            self.let_go(part.gradient)
        return weight
