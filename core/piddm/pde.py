"""The declarative specification of an equation: all that a plugin writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from piddm.errors import UsageError
from piddm.grid import Grid
from piddm.priors import Prior
from piddm.symbolic.operators import Coordinate, D, Field, Param, Slice

if TYPE_CHECKING:
    import sympy

    from piddm.interfaces import Residual

TimeScheme = Literal["crank-nicolson", "backward-euler", "centred"]


@dataclass(frozen=True)
class Dirichlet:
    """The field has a given value on the ends of some axes.

    Args:
        field: The field.
        value: Number or expression in the coordinates.
        on: Names of axes; all bounded axes but time where none is named.
    """

    field: Field
    value: Any = 0
    on: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class PDE:
    r"""An equation, its domain and the law of its inputs.

    Args:
        name: Short name, as typed on the command line.
        summary: One line for listings.
        grid: Domain and default resolution.
        fields: Unknown fields, in the order in which networks see them.
        equations: Name to expression; each expression vanishes on a solution.
        inputs: What is drawn at random, with its law; the rest is solved for.
        params: Scalar parameters of the equations.
        conditions: Name to boundary condition.
        time_scheme: How :math:`\partial_t` is discretised: a one-step residual between two
            times (``crank-nicolson``, ``backward-euler``) or centred differences.
        source: Where formulation and constants come from.
        simulate: Optional ``(pde, grid, count, generator) -> {field: tensor}`` that replaces the
            derived solver.
        residual: Optional ``grid -> Residual`` for what symbols cannot say.

    Raises:
        UsageError: If an expression uses an undeclared symbol or axis.
    """

    name: str
    summary: str
    grid: Grid
    fields: Sequence[Field]
    equations: Mapping[str, sympy.Expr]
    inputs: Mapping[Field | Slice, Prior]
    params: Sequence[Param] = ()
    conditions: Mapping[str, Dirichlet] = field(default_factory=dict)
    time_scheme: TimeScheme = "crank-nicolson"
    source: str = ""
    simulate: Callable[..., Any] | None = None
    residual: Callable[[Grid], Residual] | None = None

    def __post_init__(self) -> None:
        if not self.fields:
            raise UsageError(f"{self.name}: a PDE needs at least one field")
        if not self.equations and self.residual is None:
            raise UsageError(f"{self.name}: a PDE needs an equation or a residual of its own")
        if clash := set(self.equations) & set(self.conditions):
            raise UsageError(f"{self.name}: {sorted(clash)} names both an equation and a condition")
        known = {*self.fields, *self.params}
        for label, expression in self.equations.items():
            self._check(label, expression, known)
        for label, condition in self.conditions.items():
            if condition.field not in self.fields:
                raise UsageError(f"{self.name}, {label}: {condition.field} is not a declared field")
            for axis in condition.on:
                self.grid.index(axis)
        for given in self.inputs:
            if (given.field if isinstance(given, Slice) else given) not in self.fields:
                raise UsageError(f"{self.name}: the input {given} is not a declared field")
            if isinstance(given, Slice):
                self.slice_index(given, self.grid)

    def _check(self, label: str, expression: sympy.Expr, known: set[Any]) -> None:
        for symbol in expression.free_symbols:
            if isinstance(symbol, Coordinate):
                if symbol.name not in self.grid.axes:
                    raise UsageError(f"{self.name}, {label}: the grid has no axis {symbol}")
            elif symbol not in known:
                raise UsageError(f"{self.name}, {label}: {symbol} is neither a field nor a param")
        if not expression.atoms(D) and not expression.free_symbols & set(self.fields):
            raise UsageError(f"{self.name}, {label}: the equation has no field in it")

    def bind(self, grid: Grid | None = None) -> Residual:
        """Return the residual on a grid: the plugin's own, or the compiled one."""
        grid = grid or self.grid
        if self.residual is not None:
            return self.residual(grid)
        from piddm.symbolic.residual import StencilResidual

        return StencilResidual(self, grid)

    def slice_index(self, given: Slice, grid: Grid) -> tuple[int, int]:
        """Return ``(dimension, node)`` of a slice on a grid: it must be at an end of its axis."""
        axis, dimension = grid.axes[given.axis], grid.index(given.axis)
        if given.value == axis.lower:
            return dimension, 0
        if given.value == axis.upper and not axis.periodic:
            return dimension, axis.size - 1
        raise UsageError(
            f"{self.name}: {given} is not at an end of {given.axis} in [{axis.lower}, {axis.upper}]"
        )

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(f.name for f in self.fields)
