"""How a program meets torch: by its own derivatives where it can, step by step where it must."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from piddm.programs.plain import Inputs
from piddm.programs.program import Program


def run(program: Program, inputs: Inputs) -> dict[str, Tensor]:
    """Evaluate a program: differentiable, and under every transform of torch.

    Eager evaluation goes by the program's own adjoint, which is faster than recording each step;
    ``torch.compile``, ``torch.func`` and forward differentiation see the steps.
    """
    names = program.names()
    values = [inputs[name] for name in names]
    if torch.compiler.is_compiling() or any(map(_transformed, values)):
        return program.evaluate(inputs)
    if torch.is_grad_enabled() and any(v.requires_grad for v in values):
        results = _Evaluate.apply(program, names, *values)
        return dict(zip(program.outputs, results, strict=True))  # pyright: ignore
    return program.evaluate(inputs, fresh=True)


def _transformed(value: Tensor) -> bool:
    # torch has no public way to ask; a test holds that this one answers.
    if type(value) not in (Tensor, torch.nn.Parameter):
        return True  # it may see, or do, other things with each operation
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(value)  # pyright: ignore
    return wrapped or forward_ad.unpack_dual(value).tangent is not None


class _Evaluate(torch.autograd.Function):
    """A program as one operation with its adjoint."""

    @staticmethod
    def forward(ctx: Any, program: Program, names: tuple[str, ...], *values: Tensor) -> Any:
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
