"""What a compiled equation runs: a straight line of torch operations, results kept by position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor


SPECTRAL = 0
"""Stands for the order of accuracy along an axis that is differentiated spectrally."""


@dataclass(frozen=True)
class Span:
    """A range along one axis: nodes ``start .. stop-1``, or the midpoints just above them.

    Args:
        start: First index.
        stop: Index after the last.
        half: Whether these are midpoints.
        order: Order of accuracy of what is computed there along this axis.
    """

    start: int
    stop: int
    half: bool = False
    order: int = 2

    @property
    def length(self) -> int:
        """Number of places in the range."""
        return self.stop - self.start


Place = tuple[Span, ...]


@dataclass(frozen=True)
class Load:
    """A field on a range of nodes, which may reach beyond a periodic axis."""

    name: str
    place: Place


@dataclass(frozen=True)
class Scalar:
    """A parameter: the value per sample where one is passed, else its default."""

    name: str
    default: float


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers known at build time: one, or the coordinates along an axis."""

    value: float | np.ndarray


@dataclass(frozen=True, eq=False)
class Apply:
    """A torch function of earlier results."""

    function: Callable[..., Any]
    arguments: tuple[int, ...]


Step = Load | Scalar | Constant | Apply


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order and the positions of the results that are wanted."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, int]
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        loads = [s for s in self.steps if isinstance(s, Load)]
        pads: dict[str, list[tuple[int, int]]] = {}
        for load in loads:
            pad = pads.setdefault(load.name, [(0, 0)] * len(self.shape))
            for d, (span, n) in enumerate(zip(load.place, self.shape, strict=True)):
                pad[d] = (max(pad[d][0], -span.start), max(pad[d][1], span.stop - n))
        object.__setattr__(self, "pads", pads)

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Evaluate on fields ``(batch, *axes)`` and per-sample parameters ``(batch,)``."""
        pads: dict[str, list[tuple[int, int]]] = self.pads  # pyright: ignore
        padded = {name: _wrap(inputs[name], pad) for name, pad in pads.items()}
        like = next(iter(padded.values()))
        results: list[Any] = []
        for step in self.steps:
            match step:
                case Apply():
                    results.append(step.function(*(results[i] for i in step.arguments)))
                case Load():
                    results.append(_slice(padded[step.name], step.place, pads[step.name]))
                case Scalar():
                    given = inputs.get(step.name)
                    shape = (-1, *[1] * len(self.shape))
                    value = like.new_tensor(step.default) if given is None else given
                    results.append(value.reshape(shape))
                case Constant():
                    value = step.value
                    if isinstance(value, np.ndarray):
                        value = torch.as_tensor(value, dtype=like.dtype, device=like.device)
                    results.append(value)
        return {name: results[position] for name, position in self.outputs.items()}


def _wrap(values: Tensor, pad: list[tuple[int, int]]) -> Tensor:
    """Continue periodic axes beyond their seam, out of place."""
    for d, (before, after) in enumerate(pad):
        if before or after:
            n = values.shape[d + 1]
            parts = [values.narrow(d + 1, n - before, before), values]
            values = torch.cat([*parts, values.narrow(d + 1, 0, after)], dim=d + 1)
    return values


def _slice(values: Tensor, place: Place, pad: list[tuple[int, int]]) -> Tensor:
    for d, (span, (before, _)) in enumerate(zip(place, pad, strict=True)):
        values = values.narrow(d + 1, span.start + before, span.length)
    return values


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    sympy.exp: torch.exp,
    sympy.log: torch.log,
    sympy.sin: torch.sin,
    sympy.cos: torch.cos,
    sympy.tan: torch.tan,
    sympy.sinh: torch.sinh,
    sympy.cosh: torch.cosh,
    sympy.tanh: torch.tanh,
    sympy.Abs: torch.abs,
    sympy.sign: torch.sign,
    sympy.Heaviside: lambda v, at_zero=0.5: torch.heaviside(v, torch.full_like(v, at_zero)),
}
"""Functions an equation may use, beside sums, products and powers."""
