"""Functions an equation may use beside sums, products and powers, each with its derivative.

At a kink or a jump derivatives are the usual subgradients: that of |v| is 0 at 0, those of the
larger of two equal values are 1/2 each, that of a step is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import scipy.special
import sympy
import torch
from torch import Tensor

Unary = Callable[[Tensor], Tensor]
Several = Callable[..., Tensor]
Partials = Callable[..., tuple[Tensor, ...]]


def _sech(v: Tensor) -> Tensor:
    return 1 / torch.cosh(v)


def _cot(v: Tensor) -> Tensor:
    return 1 / torch.tan(v)


def _coth(v: Tensor) -> Tensor:
    return 1 / torch.tanh(v)


def _step(v: Tensor) -> Tensor:
    return (torch.sign(v) + 1) / 2  # torch's own has no derivative


GAUSS = 2 / math.sqrt(math.pi)
"""Slope of the error function at 0."""


class _Recorded(torch.autograd.Function):
    """A function of torch that torch does not differentiate, with its derivative."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, function: Unary, derivative: Unary) -> Tensor:  # pyright: ignore
        return function(v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])
        ctx.derivative = inputs[2]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (v,) = ctx.saved_tensors
        return gradients[0] * ctx.derivative(v), None, None

    @staticmethod
    def jvp(ctx: Any, *moves: Tensor) -> Tensor:
        (v,) = ctx.saved_tensors
        return moves[0] * ctx.derivative(v)


def _recorded(function: Unary, derivative: Unary) -> Unary:
    return lambda v: _Recorded.apply(v, function, derivative)  # pyright: ignore


I0, I1 = torch.special.i0, torch.special.i1
J0 = _recorded(torch.special.bessel_j0, lambda v: -J1(v))
J1 = _recorded(torch.special.bessel_j1, lambda v: J0(v) - _over(J1, v))
Y0 = _recorded(torch.special.bessel_y0, lambda v: -Y1(v))
Y1 = _recorded(torch.special.bessel_y1, lambda v: Y0(v) - Y1(v) / v)
K0 = _recorded(torch.special.modified_bessel_k0, lambda v: -K1(v))
K1 = _recorded(torch.special.modified_bessel_k1, lambda v: -K0(v) - K1(v) / v)
"""Bessel functions of orders 0 and 1, with their derivatives where torch has none."""

FUNCTIONS: dict[Any, tuple[Unary, Unary]] = {
    sympy.exp: (torch.exp, torch.exp),
    sympy.log: (torch.log, torch.reciprocal),
    sympy.sin: (torch.sin, torch.cos),
    sympy.cos: (torch.cos, lambda v: -torch.sin(v)),
    sympy.tan: (torch.tan, lambda v: 1 + torch.tan(v) ** 2),
    sympy.sec: (lambda v: 1 / torch.cos(v), lambda v: torch.sin(v) / torch.cos(v) ** 2),
    sympy.csc: (lambda v: 1 / torch.sin(v), lambda v: -torch.cos(v) / torch.sin(v) ** 2),
    sympy.cot: (_cot, lambda v: -1 / torch.sin(v) ** 2),
    sympy.asin: (torch.asin, lambda v: torch.rsqrt(1 - v**2)),
    sympy.acos: (torch.acos, lambda v: -torch.rsqrt(1 - v**2)),
    sympy.atan: (torch.atan, lambda v: 1 / (1 + v**2)),
    sympy.sinh: (torch.sinh, torch.cosh),
    sympy.cosh: (torch.cosh, torch.sinh),
    sympy.tanh: (torch.tanh, lambda v: 1 - torch.tanh(v) ** 2),
    sympy.sech: (_sech, lambda v: -torch.tanh(v) * _sech(v)),
    sympy.csch: (lambda v: 1 / torch.sinh(v), lambda v: -_coth(v) / torch.sinh(v)),
    sympy.coth: (_coth, lambda v: -1 / torch.sinh(v) ** 2),
    sympy.asinh: (torch.asinh, lambda v: torch.rsqrt(1 + v**2)),
    sympy.acosh: (torch.acosh, lambda v: torch.rsqrt(v - 1) * torch.rsqrt(v + 1)),
    sympy.atanh: (torch.atanh, lambda v: 1 / (1 - v**2)),
    sympy.erf: (torch.erf, lambda v: GAUSS * torch.exp(-(v**2))),
    sympy.erfc: (torch.erfc, lambda v: -GAUSS * torch.exp(-(v**2))),
    sympy.erfinv: (torch.erfinv, lambda v: torch.exp(torch.erfinv(v) ** 2) / GAUSS),
    sympy.loggamma: (torch.lgamma, torch.digamma),
    sympy.sinc: (
        lambda v: torch.sinc(v / math.pi),
        lambda v: torch.where(v == 0, 0.0, (torch.cos(v) - torch.sinc(v / math.pi)) / v),
    ),
    sympy.Abs: (torch.abs, torch.sign),
    sympy.sign: (torch.sign, torch.zeros_like),
    sympy.Heaviside: (_step, torch.zeros_like),
    sympy.floor: (torch.floor, torch.zeros_like),
    sympy.ceiling: (torch.ceil, torch.zeros_like),
}
"""Functions of one argument, and their derivatives."""

BESSEL: dict[Any, tuple[tuple[Unary, Unary], tuple[Unary, Unary]]] = {
    sympy.besselj: ((J0, lambda v: -J1(v)), (J1, lambda v: J0(v) - _over(J1, v))),
    sympy.bessely: ((Y0, lambda v: -Y1(v)), (Y1, lambda v: Y0(v) - Y1(v) / v)),
    sympy.besseli: ((I0, I1), (I1, lambda v: I0(v) - _over(I1, v))),
    sympy.besselk: ((K0, lambda v: -K1(v)), (K1, lambda v: -K0(v) - K1(v) / v)),
}
"""Bessel functions of the orders 0 and 1, which torch has."""

KNOWN_AHEAD: dict[Any, Callable[..., Any]] = {
    sympy.besselj: scipy.special.jv,
    sympy.bessely: scipy.special.yv,
    sympy.besseli: scipy.special.iv,
    sympy.besselk: scipy.special.kv,
    sympy.gamma: scipy.special.gamma,
    sympy.erfcinv: scipy.special.erfcinv,
    sympy.erfi: scipy.special.erfi,
    sympy.fresnels: lambda v: scipy.special.fresnel(v)[0],
    sympy.fresnelc: lambda v: scipy.special.fresnel(v)[1],
    sympy.zeta: scipy.special.zeta,
    sympy.legendre: scipy.special.eval_legendre,
}
"""Functions that torch lacks: of what is known when a grid is bound, such as coordinates."""


def _over(function: Unary, v: Tensor) -> Tensor:
    """Return f(v)/v of an odd function with f'(0) = 1/2."""
    return torch.where(v == 0, 0.5, function(v) / torch.where(v == 0, 1.0, v))


def _larger(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    share = _step(a - b).nan_to_num(0.5)  # of two infinities neither is larger
    return share, 1 - share


def _power(base: Tensor, exponent: Tensor) -> tuple[Tensor, ...]:
    value = torch.pow(base, exponent)
    return exponent * torch.pow(base, exponent - 1), torch.where(
        value == 0, 0.0, value * torch.log(base)
    )


def _atan2(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    square = a**2 + b**2
    return b / square, -a / square


def _chosen(where: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    first = (where >= 0.5).to(where)  # 1/2 at a midpoint across which it changes
    return torch.zeros_like(where), first, 1 - first


COMBINED: dict[Any, tuple[Several, Partials]] = {
    sympy.Max: (torch.maximum, _larger),
    sympy.Min: (torch.minimum, lambda a, b: _larger(b, a)),
    sympy.Pow: (torch.pow, _power),
    sympy.atan2: (torch.atan2, _atan2),
    sympy.Piecewise: (lambda where, a, b: torch.where(where >= 0.5, a, b), _chosen),
}
"""Functions of several arguments, and their derivatives by each; of a choice by what is chosen."""


def _relation(compare: Callable[[Tensor, Tensor], Tensor]) -> tuple[Several, Partials]:
    def truth(a: Tensor, b: Tensor) -> Tensor:
        return compare(a, b).to(torch.result_type(a, b))

    def flat(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        return torch.zeros_like(a), torch.zeros_like(b)

    return truth, flat


COMBINED |= {
    sympy.StrictLessThan: _relation(torch.lt),
    sympy.LessThan: _relation(torch.le),
    sympy.StrictGreaterThan: _relation(torch.gt),
    sympy.GreaterThan: _relation(torch.ge),
    sympy.And: (torch.minimum, lambda a, b: (torch.zeros_like(a), torch.zeros_like(b))),
    sympy.Or: (torch.maximum, lambda a, b: (torch.zeros_like(a), torch.zeros_like(b))),
}
