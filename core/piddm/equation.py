"""An equation: a specification that can be bound to a grid and solved on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from piddm.grids.grid import Grid
from piddm.symbolic.operators import Field, Param, Slice
from piddm.symbolic.specification import Order, Specification
from piddm.symbolic.specification_text import html_of, text_of
from piddm.tools.errors import labelled

if TYPE_CHECKING:
    from torch import Tensor

    from piddm.residuals.residual import Residual


class PDE(Specification):
    """An equation, its domain and the law of its inputs: bound to a grid, and solved.

    The arguments are those of :class:`piddm.symbolic.specification.Specification`.
    """

    def __repr__(self) -> str:
        return text_of(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    def bind(
        self, grid: Grid | None = None, order: Order | Mapping[str, Order] | None = None
    ) -> Residual:
        """Return the residual on a grid; see :func:`piddm.residuals.binding.bind`."""
        from piddm.residuals.binding import bind  # torch comes with it

        return bind(self, grid, order)

    def solve(
        self,
        given: Mapping[Field | Slice | Param, Tensor],
        grid: Grid | None = None,
        order: Order | Mapping[str, Order] | None = None,
        start: Mapping[Field | Param, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Solve the discrete equations for everything that is not given.

        A forward problem gives the inputs, an inverse one the solution: ``DARCY.solve({a: v})``,
        ``POISSON.solve({u: v})``, ``ADVECTION.solve({u.at(t=1): v})``.

        Args:
            given: A field's values ``(batch, *grid.shape)``, a slice's without its axis, a free
                param's ``(batch,)``. They are solved with on the CPU, wherever they are.
            grid: The grid; the specification's own where none is given.
            order: Accuracy in space: see :meth:`bind`.
            start: Where Newton's method starts; values that no row determines stay there.

        Returns:
            Every field and free param, float64, with a residual at round-off, where the given are.

        Raises:
            UsageError: If the problem is ill-posed.
            PiddmError: If Newton's method does not converge, or the given values contradict a row.
        """
        import torch

        from piddm.numerics.derived_solver import DerivedSolver  # torch comes with it

        tensors = [value for value in given.values() if isinstance(value, torch.Tensor)]
        given, start = _on_cpu(given), start and _on_cpu(start)
        with labelled(self.name):
            found = DerivedSolver(self, grid or self.grid, given, order).solve(given, start)
        return {name: v.to(tensors[0].device) for name, v in found.items()} if tensors else found


def _on_cpu(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return values where the solver works; arrays and numbers, which it takes too, as they are."""
    return {k: v.cpu() if hasattr(v, "cpu") else v for k, v in values.items()}
