"""Steps one after another: sums, products, shifts and matrices of results that are there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from piddm.residuals.programs import Constant, Join, Matrix, Product, Step, Sum, Tap


class Emitter:
    """Collects steps; a result is known by its position among them."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.lengths: list[tuple[int, ...]] = []

    def emit(self, step: Step, lengths: tuple[int, ...]) -> int:
        """Append a step, whose result has the shape given, and return its position."""
        self.steps.append(step)
        self.lengths.append(lengths)
        return len(self.steps) - 1

    def _constant(self, value: np.ndarray) -> int:
        return self.emit(Constant(torch.from_numpy(value[None])), value.shape)

    def _add(self, parts: Sequence[int]) -> int:
        lengths = self._together(parts)
        nowhere = (None,) * len(lengths)
        return self.emit(Sum(tuple(Tap(p, nowhere, 1.0) for p in parts), lengths), lengths)

    def _multiply(self, parts: Sequence[int]) -> int:
        # Numbers go into the weight of a sum, which costs nothing.
        numbers = [p for p in parts if self._number(p) is not None]
        rest = [p for p in parts if p not in numbers]
        if not rest:
            position, *rest = numbers
            numbers = []
        else:
            position, *rest = rest
        for part in rest:
            lengths = self._together((position, part))
            position = self.emit(Product(position, part), lengths)
        if not numbers:
            return position
        weight = math.prod(self._number(p) or 0.0 for p in numbers)
        lengths = self.lengths[position]
        return self.emit(Sum((Tap(position, (None,) * len(lengths), weight),), lengths), lengths)

    def _number(self, position: int) -> float | None:
        step = self.steps[position]
        if isinstance(step, Constant) and step.value.numel() == 1:
            return float(step.value)
        return None

    def _together(self, parts: Sequence[int]) -> tuple[int, ...]:
        return tuple(map(max, zip(*(self.lengths[p] for p in parts), strict=True)))

    def _shifted(self, source: int, dim: int, length: int, taps: list[tuple[int, float]]) -> int:
        """Return the sum of ranges of one result, shifted along one axis."""
        of = self.lengths[source]
        lengths = (*of[:dim], length, *of[dim + 1 :])
        found = tuple(
            Tap(source, tuple(o if d == dim and of[dim] != length else None
                              for d in range(len(of))), w)
            for o, w in taps
        )  # fmt: skip
        return self.emit(Sum(found, lengths), lengths)

    def _matrix(self, source: int, dim: int, matrix: np.ndarray) -> int:
        of = self.lengths[source]
        return self.emit(
            Matrix(source, dim, torch.from_numpy(np.ascontiguousarray(matrix))),
            (*of[:dim], len(matrix), *of[dim + 1 :]),
        )

    def _join(self, parts: list[int], dim: int) -> int:
        of = self.lengths[parts[0]]
        length = sum(self.lengths[p][dim] for p in parts)
        return self.emit(Join(tuple(parts), dim), (*of[:dim], length, *of[dim + 1 :]))
