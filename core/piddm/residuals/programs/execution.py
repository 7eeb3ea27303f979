"""How a program runs, and how it meets torch: by its own derivatives where it can.

Three files say how: :mod:`~piddm.residuals.programs.plain` step by step, in terms that torch can
transform; :mod:`~piddm.residuals.programs.primal` and
:mod:`~piddm.residuals.programs.adjoint` as tapes, on memory that is made once;
:mod:`~piddm.residuals.programs.tangent` along directions.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import forward_ad

from piddm.residuals.programs import plain
from piddm.residuals.programs.adjoint import Adjoint
from piddm.residuals.programs.plain import Inputs
from piddm.residuals.programs.primal import Primal
from piddm.residuals.programs.program import Program
from piddm.residuals.programs.steps import (
    Constant,
    Step,
)
from piddm.residuals.programs.tangent import tangent
from piddm.residuals.programs.tape import Lease

TAPES = 8
"""How many batch sizes, precisions and devices a program has tapes for at a time."""

T = TypeVar("T", Primal, Adjoint)


class Executable(Program):
    """A program that runs: evaluated, pushed along directions, or pulled back.

    Args:
        steps: In an order in which results come before their use.
        outputs: Name to position and factor.
        shape: The grid's.
        lengths: Shape of each step's result.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        outputs: Mapping[str, tuple[int, float]],
        shape: tuple[int, ...],
        lengths: Sequence[tuple[int, ...]],
    ) -> None:
        super().__init__(steps, outputs, shape, lengths)
        self._tapes: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = Lock()

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

    def _evaluation(self, batch: int, like: Tensor, keep: bool) -> Primal:
        key = (batch, like.dtype, like.device, keep, stream(like.device))
        return self.tape(key, lambda: Primal(self, batch, like.dtype, like.device, keep))

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

    def __init__(self, program: Executable, evaluation: Primal, lease: Lease) -> None:
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
            # A value shared by several samples has the sum of their gradients.
            out[name] = value.sum_to_size(inputs[name].shape)
        return out


def stream(device: torch.device) -> Any:
    """Return what runs operations in order: two of them may not share memory."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else None


def constant_value(step: Step, operands: list[Tensor], dims: int) -> Tensor:
    """Return the result of a step whose sources, by position, are known numbers."""
    steps = (*(Constant(v) for v in operands), step)
    lengths = (*(tuple(v.shape[1:]) for v in operands), ())
    program = Executable(steps, {"": (len(operands), 1.0)}, (1,) * dims, lengths)
    return program.evaluate({}, like=operands[0])[""]


def run(program: Executable, inputs: Inputs) -> dict[str, Tensor]:
    """Evaluate a program: differentiable, and under every transform of torch.

    Eager evaluation goes by the program's own adjoint, which is faster than recording each step;
    ``torch.compile``, ``torch.func`` and forward differentiation see the steps.
    """
    names = program.names()
    values = [inputs[name] for name in names]
    if torch.compiler.is_compiling() or _within() or any(map(_transformed, values)):
        return program.evaluate(inputs)
    if torch.is_grad_enabled() and any(v.requires_grad for v in values):
        results = _Evaluate.apply(program, names, *values)
        return dict(zip(program.outputs, results, strict=True))  # pyright: ignore
    return program.evaluate(inputs, fresh=True)


def _within() -> bool:
    """Return whether a transform is at work; even on nothing read here, it forbids tapes."""
    return torch._C._functorch.peek_interpreter_stack() is not None  # pyright: ignore


def _transformed(value: Tensor) -> bool:
    # torch has no public way to ask; a test holds that this one answers.
    if type(value) not in (Tensor, torch.nn.Parameter):
        return True  # it may see, or do, other things with each operation
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(value)  # pyright: ignore
    return wrapped or forward_ad.unpack_dual(value).tangent is not None


class _Evaluate(torch.autograd.Function):
    """A program as one operation with its adjoint."""

    @staticmethod
    def forward(ctx: Any, program: Executable, names: tuple[str, ...], *values: Tensor) -> Any:
        inputs = dict(zip(names, values, strict=True))
        outputs, ctx.point = program.linearise(inputs)
        ctx.program, ctx.names = program, names
        ctx.save_for_backward(*values)
        ctx.set_materialize_grads(False)
        moving = {n for n, need in zip(names, ctx.needs_input_grad[2:], strict=True) if need}
        ctx.mark_non_differentiable(
            *(v for v, (position, _) in zip(outputs, program.outputs.values(), strict=True)
              if not program.layout.reads[position] & moving)
        )  # fmt: skip
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:  # pyright: ignore
        inputs = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        wanted = {n for n, need in zip(ctx.names, ctx.needs_input_grad[2:], strict=True) if need}
        pulls = {
            name: grad
            for name, grad in zip(ctx.program.outputs, grads, strict=True)
            if grad is not None
        }
        if not pulls:
            return (None,) * (2 + len(ctx.names))
        if torch.is_grad_enabled():  # somebody wants a second derivative
            with torch.enable_grad():
                # Without their own history, which the caller goes through by himself.
                inputs = {name: value.view_as(value) for name, value in inputs.items()}
                out = ctx.program.evaluate(inputs)
                names = [n for n in ctx.names if n in wanted]
                found = torch.autograd.grad(
                    [out[name] for name in pulls],
                    [inputs[n] for n in names],
                    list(pulls.values()),
                    create_graph=True,
                    allow_unused=True,
                )
            of = dict(zip(names, found, strict=True))
        else:
            of = ctx.point.adjoint(inputs, pulls, frozenset(wanted))
        return (None, None, *(of.get(name) for name in ctx.names))
