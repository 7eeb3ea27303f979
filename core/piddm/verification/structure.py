"""Structure of a residual: differentiable, sample by sample, with the reach that it declares."""

from __future__ import annotations

import torch
from torch import Tensor

from piddm.equation import PDE
from piddm.residuals.residual import Residual
from piddm.tools.errors import UsageError
from piddm.verification.manufactured import manufacture
from piddm.verification.result import Check

TINY = (5, 6, 7, 8, 9, 10, 12, 16)
"""Nodes along each axis, tried from the fewest."""

CLOSE = 1e-11
"""Relative difference that rounding may make."""


def tiny(pde: PDE, count: int = 3) -> tuple[Residual, dict[str, Tensor]]:
    """Return the residual on the smallest grid that has room for it, and generic fields there.

    Raises:
        UsageError: If no small grid has.
    """
    problem = None
    for size in TINY:
        try:
            residual = pde.bind(pde.grid.resized(size))
        except UsageError as error:
            problem = error
            continue
        made = [manufacture(pde, variant=k).fields(residual.grid) for k in range(count)]
        return residual, {k: torch.cat([m[k] for m in made]) for k in made[0]}
    raise UsageError(f"{pde.name}: no grid of up to {TINY[-1]} nodes an axis: {problem}")


def gradient(pde: PDE) -> Check:
    """Check autograd's derivatives of every row against differences, forward against reverse."""
    residual, fields = tiny(pde, 1)
    names = [*residual.field_names, *residual.free_params]
    values = tuple(fields[k].clone().requires_grad_() for k in names)
    rest = {k: v for k, v in fields.items() if k not in names}

    def rows(*x: Tensor) -> Tensor:
        return _vector(residual, rest | dict(zip(names, x, strict=True)))

    size = float(rows(*values).detach().abs().max()) + 1.0
    try:
        torch.autograd.gradcheck(
            lambda *x: rows(*x) / size, values, eps=1e-6, atol=1e-6, rtol=1e-5, fast_mode=True
        )
    except (RuntimeError, ValueError) as error:
        line = str(error).strip().splitlines()[0]
        return Check("gradient", False, f"autograd disagrees with differences: {line}")
    generator = torch.Generator().manual_seed(0)
    plain = tuple(v.detach() for v in values)
    along = tuple(torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in plain)
    out, forward = torch.func.jvp(rows, plain, along)  # pyright: ignore
    weight = torch.randn(out.shape, generator=generator, dtype=out.dtype)
    _, pull = torch.func.vjp(rows, *plain)  # pyright: ignore
    one = float((forward * weight).sum())
    two = float(sum((g * a).sum() for g, a in zip(pull(weight), along, strict=True)))
    gap = abs(one - two) / max(float(forward.norm() * weight.norm()), 1e-300)
    detail = f"agrees with differences; forward and reverse mode differ by {gap:.1e}"
    return Check("gradient", gap < CLOSE, detail, {"forward_reverse": gap})


def batch_independence(pde: PDE) -> Check:
    """Check that a sample's rows are the same alone, in a batch and in another order."""
    residual, fields = tiny(pde)
    worst, where = 0.0, ""
    states = [fields]
    if residual.free_params:  # values that are fitted must not mix either
        states.append({k: v for k, v in fields.items() if k not in residual.free_params})
    for state in states:
        together = residual(state)
        turned = residual({k: v.flip(0) for k, v in state.items()})
        for name, value in together.items():
            size = float(value.abs().max()) or 1.0
            for k in range(len(value)):
                alone = residual({f: v[k : k + 1] for f, v in state.items()})[name][0]
                gap = max(
                    float((value[k] - alone).abs().max()),
                    float((value[k] - turned[name][len(value) - 1 - k]).abs().max()),
                )
                if not gap / size <= worst:
                    worst, where = gap / size, name
    passed = worst < CLOSE
    detail = f"alone and in a batch, rows differ by {worst:.1e}"
    if not passed:
        detail += f" in {where}: samples are mixed"
    return Check("batch_independence", passed, detail, {"difference": worst})


def transforms(pde: PDE) -> Check:
    """Check that the residual works under ``torch.func.vmap`` and whole under ``torch.compile``."""
    residual, fields = tiny(pde)
    plain = residual(fields)

    def of_one(x: dict[str, Tensor]) -> dict[str, Tensor]:
        return {k: v[0] for k, v in residual({n: f[None] for n, f in x.items()}).items()}

    # The limit on compilations of one function is not about this residual.
    torch._dynamo.reset()
    # "eager" traces as every backend does, and generates no code.
    ways = {
        "vmap": torch.func.vmap(of_one),
        "compile": torch.compile(residual.__call__, backend="eager", fullgraph=True),
    }
    gaps = {}
    for way, function in ways.items():
        try:
            found = function(fields)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            return Check("transforms", False, f"fails under {way}: {type(error).__name__}: {text}")
        gaps[way] = max(
            float((found[k] - v).abs().max()) / (float(v.abs().max()) or 1.0)
            for k, v in plain.items()
        )
    passed = max(gaps.values()) < CLOSE
    return Check("transforms", passed, "vmap and compile (whole graph) agree", gaps)


def _vector(residual: Residual, fields: dict[str, Tensor]) -> Tensor:
    return torch.cat([v.flatten(1) for v in residual(fields).values()], dim=1)
