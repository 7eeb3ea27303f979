"""Functions an equation may use beside sums, products and powers, each with its derivative."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import sympy
import torch

Unary = Callable[[torch.Tensor], torch.Tensor]


def _step(v: torch.Tensor) -> torch.Tensor:
    return (torch.sign(v) + 1) / 2  # torch's own has no derivative


FUNCTIONS: dict[Any, tuple[Unary, Unary]] = {
    sympy.exp: (torch.exp, torch.exp),
    sympy.log: (torch.log, torch.reciprocal),
    sympy.sin: (torch.sin, torch.cos),
    sympy.cos: (torch.cos, lambda v: -torch.sin(v)),
    sympy.tan: (torch.tan, lambda v: 1 + torch.tan(v) ** 2),
    sympy.asin: (torch.asin, lambda v: torch.rsqrt(1 - v**2)),
    sympy.acos: (torch.acos, lambda v: -torch.rsqrt(1 - v**2)),
    sympy.atan: (torch.atan, lambda v: 1 / (1 + v**2)),
    sympy.sinh: (torch.sinh, torch.cosh),
    sympy.cosh: (torch.cosh, torch.sinh),
    sympy.tanh: (torch.tanh, lambda v: 1 - torch.tanh(v) ** 2),
    sympy.erf: (torch.erf, lambda v: torch.exp(-(v**2)) * (2 / math.sqrt(math.pi))),
    sympy.Abs: (torch.abs, torch.sign),
    sympy.sign: (torch.sign, torch.zeros_like),
    sympy.Heaviside: (_step, torch.zeros_like),
}
