"""The adjoint of a program as a tape: every gradient gathered, once, from those who used a result.

A gradient in the frame is zero wherever its result has no value, and before its beginning. So
the adjoint of a sum of shifted results is again a sum of shifted gradients, without ends to be
treated apart and without memory to be cleared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from piddm.programs.gradients import Gradient, Other, Term, added, fold, scattered
from piddm.programs.layout import Starts, contiguous
from piddm.programs.operands import Operands, add, addcmul, multiply, scale
from piddm.programs.plain import matrix_product, slope
from piddm.programs.steps import (
    Apply,
    Integrate,
    Join,
    Load,
    Matrix,
    Pick,
    Power,
    Product,
    Scalar,
    Sum,
)
from piddm.programs.tape import Slots, Tape

if TYPE_CHECKING:
    from piddm.programs.evaluation import Evaluation
    from piddm.programs.program import Program


class Adjoint:
    """The adjoint of a program for one batch size, precision and device.

    Args:
        program: The program.
        evaluation: What evaluates it, and keeps what is needed here.
        pulls: Names of the outputs whose gradients are given.
        wanted: Names of the inputs whose gradients are asked for.

    Attributes:
        tape: Given gradients, inputs and kept buffers, it returns the gradients of ``names``.
        names: Those of ``wanted`` that the outputs depend on.
        reads: The buffers of the evaluation that it is to be given.
    """

    def __init__(
        self,
        program: Program,
        evaluation: Evaluation,
        pulls: tuple[str, ...],
        wanted: frozenset[str],
    ) -> None:
        self.program, self.layout = program, program.layout
        past = evaluation.tape
        self.tape = tape = Tape(past.batch, past.dtype, past.device)
        self.operands = Operands(self.layout, tape)
        given = {k: tape.given(program.lengths[program.outputs[k][0]]) for k in pulls}
        self._inputs(evaluation)
        self._moves = [bool(r & wanted) for r in self.layout.reads]
        self._terms: dict[int | str, list[Term]] = {}
        self._others: dict[int | str, list[Other]] = {}
        self._picked: dict[str, list[tuple[Pick, Gradient]]] = {}
        self._params: dict[str, list[Gradient]] = {}
        self._holds: dict[int, int] = {}
        for name in pulls:
            position, factor = program.outputs[name]
            if self._moves[position]:
                self._begin(position, given[name], factor)
        for position in reversed(range(len(program.steps))):
            step = program.steps[position]
            if not self._moves[position] or isinstance(step, Load):
                continue
            gradient = self._gathered(position)
            if gradient is not None:
                self._spread(position, gradient)
                self._let_go(gradient)
        touched = {*self._terms, *self._others, *self._picked, *self._params}
        self.names = tuple(k for k in program.names() if k in wanted & touched)
        for name in self.names:
            self._found(name)
        tape.finish()

    def _inputs(self, evaluation: Evaluation) -> None:
        """Find the values that were there: inputs, and what the evaluation kept."""
        tape, buffers = self.tape, self.operands.buffers
        shapes = evaluation.tape.shape
        again = {b: tape.given(shapes(b)) for b in evaluation.names.values()}
        kept = sorted({b for b in evaluation.kept.values() if b not in again})
        again |= {b: tape.given(shapes(b)) for b in kept}
        self.reads = kept
        buffers |= {key: again[b] for key, b in evaluation.kept.items()}

    def _hold(self, gradient: Gradient) -> Gradient:
        """Note that somebody will read a gradient."""
        if gradient.buffer in self._holds:
            self._holds[gradient.buffer] += 1
        return gradient

    def _let_go(self, gradient: Gradient) -> None:
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

    def _begin(self, position: int, pull: int, factor: float) -> None:
        """Take the gradient of an output."""
        lengths = self.program.lengths[position]
        if not self.layout.framed[position] or isinstance(self.program.steps[position], Load):
            self._give(position, Gradient(pull, framed=False), factor, lengths=lengths)
            return
        # Nobody else's memory, ever: what lies between the rows stays zero.
        buffer = self.tape.own(self.layout.size, fresh=True)
        target = self.tape.view(buffer, lengths, self.layout.strides)
        scale(self.tape, self.tape.whole(pull, lengths), factor, target)
        self._terms.setdefault(position, []).append(Term(Gradient(buffer)))

    def _give(
        self,
        position: int,
        gradient: Gradient,
        weight: float,
        starts: Starts = (),
        lengths: tuple[int, ...] = (),
        value: Callable[[Slots], Tensor] | None = None,
    ) -> None:
        """Add a value, else the gradient itself, to a range of a result's gradient."""
        if not self._moves[position]:
            return
        if value is None:
            slot = self._box(gradient, lengths)
            value, weight = (lambda s: s[slot]), weight * gradient.weight
        own, step = self.program.lengths[position], self.program.steps[position]
        part = tuple(1 if n == 1 else m for n, m in zip(own, lengths or own, strict=True))
        begins = [0 if n == 1 else s or 0 for n, s in
                  zip(own, starts or (None,) * len(own), strict=True)]  # fmt: skip
        if isinstance(step, Load):
            before = [x.start + b for x, (b, _) in zip(step.place, self.layout.pads, strict=True)]
            begins = [a + b for a, b in zip(begins, before, strict=True)]
        other = Other(self._hold(gradient), value, weight, begins, part)
        self._others.setdefault(self.operands.base(position), []).append(other)

    def _box(self, gradient: Gradient, lengths: tuple[int, ...]) -> int:
        """Return the slot of a gradient, but for its weight."""
        strides = self.layout.strides if gradient.framed else contiguous(lengths)
        return self.tape.view(gradient.buffer, lengths, strides, -gradient.shift)

    def _gathered(self, position: int) -> Gradient | None:
        """Return a result's gradient; nothing is computed where it is part of another one."""
        terms, others = self._merged(position), self._others.pop(position, [])
        if not terms and not others:
            return None
        framed, lengths = self.layout.framed[position], self.program.lengths[position]
        if len(terms) == 1 and not others and terms[0].factor is None:
            return terms[0].gradient
        size = self.layout.size if framed else math.prod(lengths)
        buffer = self._own(size)
        strides = self.layout.strides if framed else contiguous(lengths)
        weight = self._add_up(buffer, size, strides, terms, others)
        return self._hold(Gradient(buffer, weight=weight, framed=framed))

    def _merged(self, key: int | str) -> list[Term]:
        """Return the terms of a gradient, those alike as one, the first of weight 1 if any is."""
        found: dict[Term, float] = {}
        for term in self._terms.pop(key, []):
            bare = replace(term, gradient=replace(term.gradient, weight=1.0))
            if bare in found:
                self._let_go(term.gradient)
            found[bare] = found.get(bare, 0.0) + term.gradient.weight
        out = [replace(t, gradient=replace(t.gradient, weight=w)) for t, w in found.items()]
        return sorted(out, key=lambda t: (t.factor is not None, t.gradient.weight != 1))

    def _add_up(
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
            self._let_go(part.gradient)
        return weight

    def _spread(self, position: int, gradient: Gradient) -> None:
        """Give a result's gradient on to what it was computed from."""
        program, step = self.program, self.program.steps[position]
        lengths, tape = program.lengths[position], self.tape
        match step:
            case Scalar():
                self._params.setdefault(step.name, []).append(self._hold(gradient))
            case Pick():
                self._picked.setdefault(step.name, []).append((step, self._hold(gradient)))
            case Sum():
                for tap in step.taps:
                    weight = tap.weight * step.factor
                    self._linear(position, tap.source, gradient, weight, tap.starts)
            case Product():
                if step.left == step.right:
                    self._times(position, step.left, step.left, gradient, 2.0)
                else:
                    self._times(position, step.left, step.right, gradient, 1.0)
                    self._times(position, step.right, step.left, gradient, 1.0)
            case Power() | Apply():
                slot, at = self._box(gradient, lengths), self.operands.whole(step.source)
                self._give(step.source, gradient, gradient.weight,
                           value=lambda s: slope(step, s[at]).mul_(s[slot]))  # fmt: skip
            case Matrix():
                slot, matrix = self._box(gradient, lengths), tape.number(step.matrix.mT)
                dim = step.axis - len(lengths)
                self._give(step.source, gradient, gradient.weight,
                           value=lambda s: matrix_product(s[slot], s[matrix], dim))  # fmt: skip
            case Integrate():
                slot, weights = self._box(gradient, lengths), tape.number(step.weights)
                self._give(step.source, gradient, gradient.weight,
                           value=lambda s: s[slot] * s[weights])  # fmt: skip
            case Join():
                slot, start = self._box(gradient, lengths), 0
                for part in step.parts:
                    n, at = program.lengths[part][step.axis], start

                    def rows(s: Slots, slot: int = slot, at: int = at, n: int = n) -> Tensor:
                        return s[slot].narrow(step.axis + 1, at, n)

                    self._give(part, gradient, gradient.weight, value=rows)
                    start += n

    def _loops(self, position: int, source: int) -> bool:
        """Return whether a gradient goes on to a source by a loop over the frame."""
        framed = self.layout.framed
        spread = self.layout.number(source) and not self.layout.number(position)
        return framed[position] and framed[source] and not spread

    def _linear(
        self, position: int, source: int, gradient: Gradient, weight: float, starts: Starts
    ) -> None:
        lengths, layout = self.program.lengths[position], self.layout
        if not self._moves[source]:
            return
        if not self._loops(position, source):
            self._give(source, gradient, weight, starts, lengths)
            return
        shift = gradient.shift + layout.offsets[source] + layout.distance(starts)
        moved = replace(gradient, shift=shift, weight=gradient.weight * weight)
        self._hold(moved)
        self._terms.setdefault(self.operands.base(source), []).append(Term(moved))

    def _times(
        self, position: int, source: int, other: int, gradient: Gradient, weight: float
    ) -> None:
        lengths = self.program.lengths[position]
        if not self._moves[source]:
            return
        if not self._loops(position, source):
            slot = self._box(gradient, lengths)
            values = self.operands.box(other, (None,) * len(lengths), lengths)
            self._give(source, gradient, weight * gradient.weight, lengths=lengths,
                       value=lambda s: s[slot] * s[values])  # fmt: skip
            return
        term = Term(
            replace(self._hold(gradient), weight=gradient.weight * weight),
            other, self.layout.offsets[source], lengths,
        )  # fmt: skip
        self._terms.setdefault(self.operands.base(source), []).append(term)

    def _found(self, name: str) -> None:
        """Compute the gradient of an input."""
        program, layout, tape = self.program, self.layout, self.tape
        if name in self._params:
            out = tape.whole(tape.result(()), ())
            first, *rest = self._params[name]
            scale(tape, tape.whole(first.buffer, ()), first.weight, out)
            for more in rest:
                add(tape, out, tape.whole(more.buffer, ()), more.weight, out)
            return
        size = math.prod(program.shape)
        result = tape.result(program.shape)
        folded = layout.periodic and name in program.loaded
        buffer = tape.own(layout.size) if folded else result
        terms, others = self._merged(name), self._others.pop(name, [])
        weight = self._add_up(
            buffer, layout.size if folded else size, layout.strides, terms, others
        )
        whole = tape.whole(result, program.shape)
        if folded:
            fold(layout, tape, buffer)
            begin = layout.distance([before for before, _ in layout.pads])
            inner = tape.view(buffer, program.shape, layout.strides, begin)
            scale(tape, inner, weight, whole)
            tape.release(buffer)
        elif weight != 1:
            scale(tape, whole, weight, whole)
        flat = tape.view(result, (size,), (1,))
        for step, gradient in self._picked.get(name, ()):
            nodes = tape.number(step.nodes)
            rows = tape.view(gradient.buffer, (len(step.nodes),), (1,))
            tape.do(scattered(flat, nodes, rows, gradient.weight))
