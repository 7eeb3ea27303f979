"""A straight line of steps, and where their results lie: what a compiled expression runs.

A step's result is a tensor ``(..., *lengths)``; leading dimensions are the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from piddm.residuals.programs.memory_layout import MemoryLayout
from piddm.residuals.programs.steps import (
    Apply,
    Combine,
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
        optional: The steps whose results a later one may leave out, as a minimum does.
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
        self.layout = MemoryLayout(self.steps, self.lengths, shape)
        self.loaded = tuple(dict.fromkeys(s.name for s in steps if isinstance(s, Load)))
        self.kept = {
            source for step in steps if isinstance(step, (Product, Power, Apply, Combine))
            for source in sources(step)
        }  # fmt: skip
        self.optional = self._optional()
        self.fused = self._fused()
        self.free = self._freed()
        params = (s.name for s in steps if isinstance(s, Scalar))
        self._names = tuple(dict.fromkeys((*self.layout.fields, *params)))
        self._grids = [torch.Size(shape if k in self.layout.fields else ()) for k in self._names]
        self._numbers: dict[Any, Tensor] = {}

    def _optional(self) -> set[int]:
        found: set[int] = set()
        for position in reversed(range(len(self.steps))):
            if isinstance(self.steps[position], Combine) or position in found:
                found |= set(sources(self.steps[position]))
        return found

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
            if isinstance(step, Product) and p not in wanted and p not in self.optional
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
