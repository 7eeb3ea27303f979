"""The values of a program, as a tape: few passes, each on memory that is already there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from piddm.residuals.programs.lifetimes import last_reads, written_out
from piddm.residuals.programs.memory_layout import Starts, contiguous
from piddm.residuals.programs.operands import Operands, add, addcmul, multiply, scale
from piddm.residuals.programs.plain import matrix_product, power
from piddm.residuals.programs.seams import continued
from piddm.residuals.programs.steps import (
    Apply,
    Combine,
    Constant,
    Integrate,
    Join,
    Load,
    Matrix,
    Pick,
    Power,
    Product,
    Scalar,
    Sum,
    Tap,
    sources,
)
from piddm.residuals.programs.tape import Tape

if TYPE_CHECKING:
    from piddm.residuals.programs.program import Program


Pass = Callable[[int, bool], None]
"""Appends a pass, given the slot to work on, and whether it is flat."""


class Primal:
    """A program's values for one batch size, precision and device.

    Args:
        program: The program.
        batch: Number of samples.
        dtype: Of all that is computed.
        device: Of all that is computed.
        keep: Keep what a derivative needs: the operands of what is not linear.

    Attributes:
        tape: Given the inputs in the order of ``program.names()``, it returns the outputs.
        names: The buffers of the inputs.
        kept: The buffers that a derivative reads, by whose they are.
    """

    def __init__(
        self,
        program: Program,
        batch: int,
        dtype: torch.dtype,
        device: torch.device,
        keep: bool = False,
    ) -> None:
        self.program, self.layout, self.keep = program, program.layout, keep
        self.tape = tape = Tape(batch, dtype, device)
        self.operands = Operands(self.layout, tape)
        self._nowhere = (None,) * len(program.shape)
        self.names = names = {
            name: tape.given(program.shape if name in self.layout.fields else ())
            for name in program.names()
        }
        results = {
            name: tape.result(program.lengths[p]) for name, (p, _) in program.outputs.items()
        }
        self._final = written_out(program, results)
        self._read_fields(names)
        self._release = last_reads(program, keep)
        for position, step in enumerate(program.steps):
            if not isinstance(step, (Load, Constant)) and position not in program.fused:
                self._step(position)
            for dead in self._release[position]:
                if dead != self._inherits(position):
                    tape.release(self.operands.buffers[dead])
        self._finish(results)
        tape.finish()
        self.kept = {k: b for k, b in self.operands.buffers.items() if self._is_kept(k)}

    def _size(self, position: int) -> int:
        return math.prod(self.program.lengths[position])

    def _read_fields(self, names: Mapping[str, int]) -> None:
        """Continue periodic fields beyond their seams; others are read where they are."""
        layout, tape = self.layout, self.tape
        for name in layout.fields:
            self.operands.buffers[name] = names[name]
            if not layout.periodic or name not in self.program.loaded:
                continue
            buffer = self.operands.buffers[name] = tape.own(layout.size, fresh=True)
            continued(layout, tape, names[name], buffer)

    def _is_kept(self, key: int | str) -> bool:
        return isinstance(key, str) or (key in self.program.kept and key not in self._final)

    def _target(self, position: int) -> int:
        """Return the buffer that a step's result is to be written to."""
        buffer = self._final.get(position)
        if buffer is None and (heir := self._inherits(position)) is not None:
            buffer = self.operands.buffers[heir]
        if buffer is None:
            size = self.layout.size if self.layout.framed[position] else self._size(position)
            fresh = self.keep and position in self.program.kept
            buffer = self.tape.own(size, fresh)
        self.operands.buffers[position] = buffer
        return buffer

    def _inherits(self, position: int) -> int | None:
        """Return the operand, not needed after, whose memory a result may take."""
        step, program = self.program.steps[position], self.program
        if not isinstance(step, (Product, Power, Apply)) or position in self._final:
            return None
        if position in program.fused:
            return None
        for source in sources(step):
            alike = program.lengths[source] == program.lengths[position]
            same = self.layout.framed[source] == self.layout.framed[position]
            if source in self._release[position] and alike and same:
                return source
        return None

    def _flat(self, position: int) -> bool:
        """Return whether a step is one loop over the frame."""
        if position in self._final or not self.layout.framed[position]:
            return False
        # Between the rows a power may be infinite, and so may what is computed from it: a
        # derivative, which reads it, multiplies that by zero.
        return not (
            self.keep and position in self.program.kept
            and not isinstance(self.program.steps[position], Sum)
        )  # fmt: skip

    def _out(self, position: int, buffer: int, flat: bool) -> int:
        """Return the slot of a result in a buffer."""
        lengths = self.program.lengths[position]
        if flat:
            return self.tape.view(buffer, (self.layout.extent(lengths),), (1,))
        framed = self.layout.framed[position] and position not in self._final
        strides = self.layout.strides if framed else contiguous(lengths)
        return self.tape.view(buffer, lengths, strides)

    def _operand(self, position: int, lengths: tuple[int, ...], flat: bool, starts: Starts) -> int:
        read = self.operands.flat if flat else self.operands.box
        return read(position, starts, lengths)

    def _step(self, position: int) -> None:
        step, tape, nowhere = self.program.steps[position], self.tape, self._nowhere
        if isinstance(step, Sum):
            self._sum(position, step)
            return
        if isinstance(step, Scalar):
            self.operands.buffers[position] = self.names[step.name]
            return
        if isinstance(step, Pick):
            whole = tape.view(self.names[step.name], (math.prod(self.program.shape),), (1,))
            out = tape.view(self._target(position), (len(step.nodes),), (1,))
            nodes = tape.number(step.nodes)
            tape.do(lambda s: torch.index_select(s[whole], 1, s[nodes], out=s[out]))
            return
        lengths, flat = self.program.lengths[position], self._flat(position)
        of = [self._operand(s, lengths, flat, nowhere) for s in sources(step)
              if isinstance(step, (Product, Power, Apply, Combine))]  # fmt: skip
        out = self._out(position, self._target(position), flat)
        match step:
            case Product():
                multiply(tape, of[0], of[1], out)
            case Power():
                exponent = step.exponent
                tape.do(lambda s: power(s[of[0]], exponent, s[out]))
            case Apply():
                function, factor = step.function, step.factor
                if factor == 1:
                    tape.do(lambda s: s[out].copy_(function(s[of[0]])))
                else:
                    tape.do(lambda s: s[out].copy_(function(s[of[0]] * factor)))
            case Combine():
                chosen = step
                tape.do(lambda s: s[out].copy_(chosen.function(*chosen.scaled([s[p] for p in of]))))
            case Join():
                dim, parts = step.axis + 1, [self.operands.whole(p) for p in step.parts]
                tape.do(lambda s: torch.cat([s[p] for p in parts], dim, out=s[out]))
            case Matrix():
                source, matrix = self.operands.whole(step.source), tape.number(step.matrix)
                dim = step.axis - len(lengths)
                tape.do(lambda s: matrix_product(s[source], s[matrix], dim, s[out]))
            case Integrate():
                source, weights = self.operands.whole(step.source), tape.number(step.weights)
                dims = [d + 1 for d in step.axes]
                tape.do(lambda s: torch.sum(s[source] * s[weights], dims, keepdim=True, out=s[out]))

    def _sum(self, position: int, step: Sum) -> None:
        flat = self._flat(position)
        out = self._out(position, self._target(position), flat)
        for add_up in self._passes(step):
            add_up(out, flat)

    def _passes(self, step: Sum) -> list[Pass]:
        """Return what computes a sum."""
        tape, lengths, factor = self.tape, step.lengths, step.factor
        taps, passes = list(step.taps), []
        late = None
        if factor != 1 and not step.constant:
            # A tap whose weight is one in the end saves the pass that only multiplies.
            late = next((t for t in taps[1:] if t.source not in self.program.fused
                         and math.isclose(t.weight * factor, 1, rel_tol=1e-15)), None)  # fmt: skip
            taps = [t for t in taps if t is not late]

        def start(tap: Tap) -> Pass:
            def one(out: int, flat: bool) -> None:
                if factors := self._factors(tap, lengths, flat):
                    multiply(tape, *factors, out)
                    if tap.weight != 1:
                        scale(tape, out, tap.weight, out)
                else:
                    scale(tape, self._tap(tap, lengths, flat), tap.weight, out)

            return one

        def more(tap: Tap, first: Tap | None = None) -> Pass:
            def one(out: int, flat: bool) -> None:
                total = self._tap(first, lengths, flat) if first else out
                if factors := self._factors(tap, lengths, flat):
                    addcmul(tape, total, *factors, tap.weight, out)
                else:
                    add(tape, total, self._tap(tap, lengths, flat), tap.weight, out)

            return one

        def finish(out: int, flat: bool) -> None:
            if late is not None:
                add(tape, self._tap(late, lengths, flat), out, factor, out)
            elif step.constant:
                number = tape.number(torch.tensor(step.constant, dtype=torch.float64))
                add(tape, number, out, factor, out)
            else:
                scale(tape, out, factor, out)

        first, *rest = taps
        whole = first.source not in self.program.fused and self._full(first, lengths)
        if rest and whole and first.weight == 1:
            passes.append(more(rest.pop(0), first))
        else:
            passes.append(start(first))
        passes += map(more, rest)
        if factor != 1 or step.constant:
            passes.append(finish)
        return passes

    def _tap(self, tap: Tap, lengths: tuple[int, ...], flat: bool) -> int:
        return self._operand(tap.source, lengths, flat, tap.starts)

    def _factors(self, tap: Tap, lengths: tuple[int, ...], flat: bool) -> tuple[int, int] | None:
        """Return what a tap multiplies, where it computes a product as it adds it up."""
        if tap.source not in self.program.fused:
            return None
        left, right = (
            self._operand(s, lengths, flat, tap.starts)
            for s in sources(self.program.steps[tap.source])
        )
        return left, right

    def _full(self, tap: Tap, lengths: tuple[int, ...]) -> bool:
        """Return whether a tap is as large as the sum that it begins."""
        of = self.program.lengths[tap.source]
        return bool(self.layout.reads[tap.source]) and all(
            n == m or start is not None for n, m, start in zip(of, lengths, tap.starts, strict=True)
        )

    def _finish(self, results: Mapping[str, int]) -> None:
        """Bring the outputs to where the caller finds them, each in memory of its own."""
        for name, (position, factor) in self.program.outputs.items():
            lengths = self.program.lengths[position]
            out = self.tape.whole(results[name], lengths)
            if self._final.get(position) == results[name]:
                if factor != 1:
                    scale(self.tape, out, factor, out)
            elif position in self._final:
                scale(self.tape, self.tape.whole(self._final[position], lengths), factor, out)
            else:
                scale(self.tape, self.operands.whole(position), factor, out)
