"""What a compiled expression runs: a straight line of steps, evaluated, pushed or pulled.

A step's result is a tensor ``(..., *lengths)``; leading dimensions are the batch. Three files say
how a program runs: :mod:`~piddm.programs.plain` step by step, in terms that torch can transform;
:mod:`~piddm.programs.evaluation` and :mod:`~piddm.programs.adjoint` as tapes, on memory that is
made once; :mod:`~piddm.programs.tangent` along directions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor

from piddm.programs import plain
from piddm.programs.adjoint import Adjoint
from piddm.programs.evaluation import Evaluation
from piddm.programs.layout import Layout
from piddm.programs.plain import Inputs
from piddm.programs.steps import (
    Apply,
    Constant,
    Integrate,
    Load,
    Matrix,
    Pick,
    Power,
    Product,
    Scalar,
    Step,
    Sum,
    sources,
)
from piddm.programs.tangent import tangent
from piddm.programs.tape import Lease

TAPES = 8
"""How many batch sizes, precisions and devices a program has tapes for at a time."""

T = TypeVar("T", Evaluation, Adjoint)


class Program:
    """Steps in order, and the results wanted of them with a number each is to be multiplied by.

    Args:
        steps: In an order in which results come before their use.
        outputs: Name to position and factor.
        shape: The grid's.
        lengths: Shape of each step's result.

    Attributes:
        layout: Where the results lie in memory.
        kept: The results that a derivative needs: the operands of what is not linear.
        fused: The products that the sums that use them compute as they add them up.
        free: After each step, the results that nobody needs any more.
        loaded: Names of the fields that are read on ranges of nodes.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        outputs: Mapping[str, tuple[int, float]],
        shape: tuple[int, ...],
        lengths: Sequence[tuple[int, ...]],
    ) -> None:
        self.steps, self.outputs, self.shape = tuple(steps), outputs, shape
        self.lengths = tuple(lengths)
        self.layout = Layout(self.steps, self.lengths, shape)
        self.loaded = tuple(dict.fromkeys(s.name for s in steps if isinstance(s, Load)))
        self.kept = {
            source for step in steps if isinstance(step, (Product, Power, Apply))
            for source in sources(step)
        }  # fmt: skip
        self.fused = self._fused()
        self.free = self._freed()
        params = (s.name for s in steps if isinstance(s, Scalar))
        self._names = tuple(dict.fromkeys((*self.layout.fields, *params)))
        self._grids = [torch.Size(shape if k in self.layout.fields else ()) for k in self._names]
        self._numbers: dict[Any, Tensor] = {}
        self._tapes: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

    def _fused(self) -> set[int]:
        wanted = {position for position, _ in self.outputs.values()}
        uses: dict[int, int] = {}
        for step in self.steps:
            for source in sources(step):
                uses[source] = uses.get(source, 0) + (1 if isinstance(step, Sum) else 3)
        # One that is used otherwise, or more often, is better computed once; but a square reads
        # less than a product, and may well be computed twice.
        return {
            p for p, step in enumerate(self.steps)
            if isinstance(step, Product) and p not in wanted
            and uses.get(p, 3) <= (2 if step.left == step.right else 1)
        }  # fmt: skip

    def _freed(self) -> list[list[int]]:
        wanted = {position for position, _ in self.outputs.values()}
        last = {s: at for at, step in enumerate(self.steps) for s in sources(step)}
        free: list[list[int]] = [[] for _ in self.steps]
        for position, at in last.items():
            if position not in wanted:
                free[at].append(position)
        return free

    def names(self) -> tuple[str, ...]:
        """Return the names of the fields and params it reads."""
        return self._names

    def number(self, position: int, like: Tensor) -> Tensor:
        """Return a step's numbers on the device and in the precision of the fields."""
        match self.steps[position]:
            case Constant(value=number) | Matrix(matrix=number) | Integrate(weights=number):
                pass
            case Pick(nodes=number):
                pass
            case step:
                raise TypeError(step)
        dtype = like.dtype if number.is_floating_point() else number.dtype
        if torch.compiler.is_compiling():
            return number.to(like.device, dtype)
        key = (position, dtype, like.device)
        if key not in self._numbers:
            # Kept for other callers, who may want to differentiate.
            with torch.inference_mode(False):
                self._numbers[key] = number.to(like.device, dtype)
        return self._numbers[key]

    def evaluate(
        self, inputs: Inputs, fresh: bool = False, like: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs.

        Args:
            inputs: Fields ``(..., *shape)`` and per-sample params ``(...,)``.
            fresh: Nothing records or transforms these operations: a tape may run.
            like: Precision and device where nothing is read.
        """
        if not fresh or not self._names:
            some = inputs[self._names[0]] if like is None else like
            return plain.evaluate(self, inputs, some)[0]
        given, lead = self._given(inputs)
        tape = self._evaluation(lead.numel(), given[0], keep=False).tape
        with torch.no_grad():
            results, memory = tape.run(given)
        tape.give_back(memory)
        return dict(zip(self.outputs, self._shaped(results, lead), strict=True))

    def _shaped(self, results: Sequence[Tensor], lead: torch.Size) -> Sequence[Tensor]:
        if len(lead) == 1:
            return results
        return [v.view(*lead, *v.shape[1:]) for v in results]

    def _given(self, inputs: Inputs) -> tuple[list[Tensor], torch.Size]:
        """Return what is read, without gaps and as many samples of each, and the batch's shape."""
        values = [inputs[name] for name in self._names]
        first = values[0]
        lead = first.shape[: first.ndim - len(self._grids[0])]
        usual = len(lead) == 1 and all(
            v.shape == lead + grid and v.dtype == first.dtype and v.is_contiguous()
            for v, grid in zip(values, self._grids, strict=True)
        )
        if usual:
            return values, lead
        for name, value, grid in zip(self._names, values, self._grids, strict=True):
            if value.shape[value.ndim - len(grid) :] != grid:
                raise ValueError(f"{name} is {tuple(value.shape)}, the grid is {tuple(grid)}")
        leads = [v.shape[: v.ndim - len(g)] for v, g in zip(values, self._grids, strict=True)]
        lead, batch = torch.broadcast_shapes(*leads), math.prod(torch.broadcast_shapes(*leads))
        return [
            v.to(first).expand(lead + grid).reshape(batch, *grid).contiguous()
            for v, grid in zip(values, self._grids, strict=True)
        ], lead

    def linearise(self, inputs: Inputs) -> tuple[tuple[Tensor, ...], Linearised]:
        """Return the outputs, and what their adjoint needs."""
        given, lead = self._given(inputs)
        evaluation = self._evaluation(lead.numel(), given[0], keep=True)
        results, memory = evaluation.tape.run(given)
        outputs = tuple(self._shaped(results, lead))
        return outputs, Linearised(self, evaluation, Lease(evaluation.tape, memory))

    def tangent(
        self, inputs: Inputs, tangents: Inputs
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the outputs and their derivative along directions.

        Args:
            inputs: Fields ``(batch, *shape)``, params ``(batch,)``.
            tangents: Directions by name, one dimension more in front where there are several:
                ``(directions, batch, *shape)``; a name that is missing does not move.
        """
        with torch.no_grad():
            return tangent(self, inputs, tangents, inputs[self._names[0]])

    def _evaluation(self, batch: int, like: Tensor, keep: bool) -> Evaluation:
        key = (batch, like.dtype, like.device, keep, stream(like.device))
        return self.tape(key, lambda: Evaluation(self, batch, like.dtype, like.device, keep))

    def tape(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return a tape that is known already, or make it."""
        with self._lock:
            if key in self._tapes:
                self._tapes.move_to_end(key)
                return self._tapes[key]
        found = make()
        with self._lock:
            self._tapes[key] = found
            while len(self._tapes) > TAPES:
                self._tapes.popitem(last=False)
        return found


class Linearised:
    """A program about a point: the pull back of its outputs' gradients.

    Args:
        program: The program.
        evaluation: What evaluated it.
        lease: The memory that holds what the derivative needs.
    """

    def __init__(self, program: Program, evaluation: Evaluation, lease: Lease) -> None:
        self.program, self.evaluation, self.lease = program, evaluation, lease

    def adjoint(
        self, inputs: Inputs, pulls: Mapping[str, Tensor], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Return the derivative by the inputs of the outputs' inner product with ``pulls``.

        Args:
            inputs: What the program was evaluated on.
            pulls: Output name to a tensor of its shape.
            wanted: Names of inputs.
        """
        program, (given, lead) = self.program, self.program._given(inputs)
        some, labels = given[0], tuple(pulls)
        key = (lead.numel(), some.dtype, some.device, labels, wanted, stream(some.device))
        made = program.tape(key, lambda: Adjoint(program, self.evaluation, labels, wanted))
        gradients = [
            pulls[k]
            .to(some.dtype)
            .reshape(-1, *program.lengths[program.outputs[k][0]])
            .contiguous()
            for k in labels
        ]
        buffers = self.lease.memory.buffers
        kept = [buffers[b] for b in made.reads]
        results, memory = made.tape.run([*gradients, *given, *kept])
        made.tape.give_back(memory)
        out = {}
        for name, value in zip(made.names, program._shaped(results, lead), strict=True):
            # What was the same for several samples feels all of them.
            out[name] = value.sum_to_size(inputs[name].shape)
        return out


def stream(device: torch.device) -> Any:
    """Return what runs operations in order: two of them may not share memory."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else None


def constant_value(step: Step, operands: list[Tensor], dims: int) -> Tensor:
    """Return the result of a step whose sources, by position, are known numbers."""
    steps = (*(Constant(v) for v in operands), step)
    lengths = (*(tuple(v.shape[1:]) for v in operands), ())
    program = Program(steps, {"": (len(operands), 1.0)}, (1,) * dims, lengths)
    return program.evaluate({}, like=operands[0])[""]
