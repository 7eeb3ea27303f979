"""The adjoint of a program as a tape: every gradient gathered, once, from those who used a result.

A gradient in the frame is zero wherever its result has no value, and before its beginning. So
the adjoint of a sum of shifted results is again a sum of shifted gradients, without ends to be
treated apart and without memory to be cleared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from piddm.residuals.programs.gathering import Gathering
from piddm.residuals.programs.gradients import (
    Gradient,
    Other,
    Term,
    scattered,
    unless_zero,
)
from piddm.residuals.programs.memory_layout import Starts
from piddm.residuals.programs.operands import Operands, add, scale
from piddm.residuals.programs.plain import matrix_product, slope
from piddm.residuals.programs.seams import fold
from piddm.residuals.programs.steps import (
    Apply,
    Combine,
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
from piddm.residuals.programs.tape import Slots, Tape

if TYPE_CHECKING:
    from piddm.residuals.programs.primal import Primal
    from piddm.residuals.programs.program import Program


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
        evaluation: Primal,
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
        self._gathering = Gathering(program, self.operands, tape)
        self._picked: dict[str, list[tuple[Pick, Gradient]]] = {}
        self._params: dict[str, list[Gradient]] = {}
        for name in pulls:
            position, factor = program.outputs[name]
            if self._moves[position]:
                self._begin(position, given[name], factor)
        for position in reversed(range(len(program.steps))):
            step = program.steps[position]
            if not self._moves[position] or isinstance(step, Load):
                continue
            gradient = self._gathering.gathered(position)
            if gradient is not None:
                self._spread(position, gradient)
                self._gathering.let_go(gradient)
        touched = {*self._gathering.touched(), *self._picked, *self._params}
        self.names = tuple(k for k in program.names() if k in wanted & touched)
        for name in self.names:
            self._found(name)
        tape.finish()

    def _inputs(self, evaluation: Primal) -> None:
        """Find the values that were there: inputs, and what the evaluation kept."""
        tape, buffers = self.tape, self.operands.buffers
        shapes = evaluation.tape.shape
        again = {b: tape.given(shapes(b)) for b in evaluation.names.values()}
        kept = sorted({b for b in evaluation.kept.values() if b not in again})
        again |= {b: tape.given(shapes(b)) for b in kept}
        self.reads = kept
        buffers |= {key: again[b] for key, b in evaluation.kept.items()}

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
        self._gathering.terms.setdefault(position, []).append(Term(Gradient(buffer)))

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
            slot = self._gathering.box(gradient, lengths)
            value, weight = (lambda s: s[slot]), weight * gradient.weight
        own, step = self.program.lengths[position], self.program.steps[position]
        part = tuple(1 if n == 1 else m for n, m in zip(own, lengths or own, strict=True))
        begins = [0 if n == 1 else s or 0 for n, s in
                  zip(own, starts or (None,) * len(own), strict=True)]  # fmt: skip
        if isinstance(step, Load):
            before = [x.start + b for x, (b, _) in zip(step.place, self.layout.pads, strict=True)]
            begins = [a + b for a, b in zip(begins, before, strict=True)]
        other = Other(self._gathering.hold(gradient), value, weight, begins, part)
        self._gathering.others.setdefault(self.operands.base(position), []).append(other)

    def _spread(self, position: int, gradient: Gradient) -> None:
        """Give a result's gradient on to what it was computed from."""
        program, step = self.program, self.program.steps[position]
        lengths, tape = program.lengths[position], self.tape
        match step:
            case Scalar():
                self._params.setdefault(step.name, []).append(self._gathering.hold(gradient))
            case Pick():
                self._picked.setdefault(step.name, []).append(
                    (step, self._gathering.hold(gradient))
                )
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
                slot, at = self._gathering.box(gradient, lengths), self.operands.whole(step.source)
                optional = position in program.optional

                def steep(s: Slots) -> Tensor:
                    value = slope(step, s[at]).mul_(s[slot])
                    return unless_zero(s[slot], value) if optional else value

                self._give(step.source, gradient, gradient.weight, value=steep)
            case Combine():
                self._combined(position, step, gradient)
            case Matrix():
                slot, matrix = self._gathering.box(gradient, lengths), tape.number(step.matrix.mT)
                dim = step.axis - len(lengths)
                self._give(step.source, gradient, gradient.weight,
                           value=lambda s: matrix_product(s[slot], s[matrix], dim))  # fmt: skip
            case Integrate():
                slot, weights = self._gathering.box(gradient, lengths), tape.number(step.weights)
                self._give(step.source, gradient, gradient.weight,
                           value=lambda s: s[slot] * s[weights])  # fmt: skip
            case Join():
                slot, start = self._gathering.box(gradient, lengths), 0
                for part in step.parts:
                    n, at = program.lengths[part][step.axis], start

                    def rows(s: Slots, slot: int = slot, at: int = at, n: int = n) -> Tensor:
                        return s[slot].narrow(step.axis + 1, at, n)

                    self._give(part, gradient, gradient.weight, value=rows)
                    start += n

    def _combined(self, position: int, step: Combine, gradient: Gradient) -> None:
        lengths = self.program.lengths[position]
        slot, nowhere = self._gathering.box(gradient, lengths), (None,) * len(lengths)
        at = [self.operands.box(p, nowhere, lengths) for p in step.operands]
        for k, (source, factor) in enumerate(zip(step.operands, step.factors, strict=True)):

            def partial(s: Slots, k: int = k) -> Tensor:
                return step.partials(*step.scaled([s[p] for p in at]))[k] * s[slot]

            self._give(source, gradient, gradient.weight * factor, lengths=lengths, value=partial)

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
        self._gathering.hold(moved)
        self._gathering.terms.setdefault(self.operands.base(source), []).append(Term(moved))

    def _times(
        self, position: int, source: int, other: int, gradient: Gradient, weight: float
    ) -> None:
        lengths = self.program.lengths[position]
        if not self._moves[source]:
            return
        optional = position in self.program.optional
        if optional or not self._loops(position, source):
            slot = self._gathering.box(gradient, lengths)
            values = self.operands.box(other, (None,) * len(lengths), lengths)

            def product(s: Slots) -> Tensor:
                value = s[slot] * s[values]
                return unless_zero(s[slot], value) if optional else value

            self._give(source, gradient, weight * gradient.weight, lengths=lengths, value=product)
            return
        term = Term(
            replace(self._gathering.hold(gradient), weight=gradient.weight * weight),
            other, self.layout.offsets[source], lengths,
        )  # fmt: skip
        self._gathering.terms.setdefault(self.operands.base(source), []).append(term)

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
        terms, others = self._gathering.merged(name), self._gathering.others.pop(name, [])
        weight = self._gathering.add_up(
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
