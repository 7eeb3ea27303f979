"""The declarative specification of an equation: all that a plugin writes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from piddm.conditions import Condition, Integral
from piddm.errors import PiddmError, UsageError, nearest
from piddm.grid import Grid
from piddm.priors import Prior
from piddm.symbolic.operators import Coordinate, D, Field, Param, Slice, strict
from piddm.symbolic.spherical import SphereOperator

if TYPE_CHECKING:
    import sympy
    from torch import Tensor

    from piddm.interfaces import Residual

TimeScheme = Literal["crank-nicolson", "backward-euler", "centred"]


Order = int | Literal["spectral"]
"""2, 4 or 6: finite differences of that order. ``"spectral"``: exact on trigonometric fields."""

ORDERS: tuple[Order, ...] = (2, 4, 6, "spectral")


@dataclass(frozen=True, eq=False)
class PDE:
    r"""An equation, its domain and the law of its inputs.

    Args:
        name: Short name, as typed on the command line.
        summary: One line for listings.
        grid: Domain and default resolution.
        fields: Unknown fields, in the order in which networks see them.
        equations: Name to expression; each expression vanishes on a solution.
        inputs: What is drawn at random, with its law; the rest is solved for. Fields, slices of
            them, or free params.
        params: Scalar parameters of the equations.
        conditions: Name to boundary condition. Where two meet in a corner, a Dirichlet condition
            holds there, else the one named first.
        integrals: Name to integral constraint.
        time_scheme: How :math:`\partial_t` is discretised: a one-step residual between two
            times (``crank-nicolson``, ``backward-euler``) or centred differences.
        order: Accuracy in space where none is asked for: of data, training and samples.
        source: Where formulation and constants come from.
        simulate: Optional ``(pde, grid, count, generator) -> {field: tensor}`` that replaces the
            derived solver.
        residual: Optional ``(grid, order) -> Residual`` for what symbols cannot say; where it
            takes the grid alone, it has one order.

    Raises:
        UsageError: If an expression uses an undeclared symbol or axis.
    """

    name: str
    summary: str
    grid: Grid
    fields: Sequence[Field]
    equations: Mapping[str, sympy.Expr]
    inputs: Mapping[Field | Slice | Param, Prior]
    params: Sequence[Param] = ()
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    integrals: Mapping[str, Integral] = field(default_factory=dict)
    time_scheme: TimeScheme = "crank-nicolson"
    order: Order | Mapping[str, Order] = 2
    source: str = ""
    simulate: Callable[..., Any] | None = None
    residual: Callable[..., Residual] | None = None

    def __post_init__(self) -> None:
        self._check_kinds()
        if not self.fields:
            raise UsageError(f"{self.name}: a PDE needs at least one field")
        if not self.equations and self.residual is None:
            raise UsageError(f"{self.name}: a PDE needs an equation or a residual of its own")
        if self.time_scheme not in (schemes := get_args(TimeScheme)):
            raise UsageError(
                f"{self.name}: there is no time scheme {self.time_scheme!r}"
                f"{nearest(str(self.time_scheme), schemes)}"
            )
        symbols = [symbol.name for symbol in (*self.fields, *self.params)]
        if clash := {name for name in symbols if symbols.count(name) > 1}:
            raise UsageError(f"{self.name}: {sorted(clash)} names more than one field or param")
        labels = [*self.equations, *self.conditions, *self.integrals]
        if clash := {label for label in labels if labels.count(label) > 1}:
            raise UsageError(
                f"{self.name}: {sorted(clash)} names more than one equation, condition or integral"
            )
        for label, expression in self.equations.items():
            self._check(label, expression, "the equation")
        if self.grid.spherical and self.conditions and self.residual is None:
            raise UsageError(
                f"{self.name}: a sphere has no edge; an initial state is an input, not a condition"
            )
        for label, condition in self.conditions.items():
            if condition.field not in self.fields:
                raise UsageError(f"{self.name}, {label}: {condition.field} is not a declared field")
            with labelled(f"{self.name}, {label}"):
                for axis, end in condition.ends(self.grid):
                    for part in condition.parts(axis, end, self.grid):
                        self._check(label, part)
            self._check(label, condition.value)
        for label, integral in self.integrals.items():
            self._check(label, integral.integrand, "the integrand")
            self._check(label, integral.value)
        for given in self.inputs:
            of = given.field if isinstance(given, Slice) else given
            if isinstance(of, Param):
                if of not in self.params or not of.free:
                    raise UsageError(f"{self.name}: the input {of} is not a declared free param")
            elif of not in self.fields:
                raise UsageError(f"{self.name}: the input {given} is not a declared field")
            if isinstance(given, Slice):
                self.slice_index(given, self.grid)
        self._check_determined()

    def _check_kinds(self) -> None:
        """Refuse what has the wrong shape as a whole."""
        if not isinstance(self.grid, Grid):
            raise UsageError(f"{self.name}: the grid is a Grid(x=Axis(...)), not {self.grid!r}")
        if isinstance(self.fields, Field) or isinstance(self.params, Param):
            raise UsageError(f"{self.name}: fields and params are lists, such as [u]")
        for what, kind in (("conditions", Condition), ("integrals", Integral)):
            given = getattr(self, what)
            if not isinstance(given, Mapping) or not all(
                isinstance(c, kind) for c in given.values()
            ):
                raise UsageError(
                    f"{self.name}: {what} are a dictionary by name, of what is made by "
                    + ("Dirichlet, Neumann or Robin" if kind is Condition else "Integral")
                )
        for what in ("equations", "inputs"):
            if not isinstance(getattr(self, what), Mapping):
                raise UsageError(f"{self.name}: {what} are a dictionary")
        if bad := [k for k in (*self.equations, *self.conditions) if "\n" in str(k)]:
            raise UsageError(f"{self.name}: {bad[0]!r} is no name for a row")

    def _check_determined(self) -> None:
        """Refuse a field that nothing is said of: no solver could find it."""
        if self.residual is not None:
            return
        said = [*self.equations.values(), *(c.value for c in self.conditions.values())]
        said += [i.integrand for i in self.integrals.values()]
        known = set().union(*(strict(expression).free_symbols for expression in said))
        known |= {condition.field for condition in self.conditions.values()}
        known |= {g.field if isinstance(g, Slice) else g for g in self.inputs}
        for unknown in self.fields:
            if unknown not in known:
                raise UsageError(
                    f"{self.name}: the field {unknown} is in no equation and is no input; give it "
                    "one of them, or leave it out"
                )

    def _check(self, label: str, expression: Any, must_have_fields: str = "") -> None:
        with labelled(f"{self.name}, {label}"):
            expression = strict(expression)
        for symbol in expression.free_symbols:
            if isinstance(symbol, Coordinate):
                if symbol.name not in self.grid.axes:
                    raise UsageError(f"{self.name}, {label}: the grid has no axis {symbol}")
            elif symbol not in {*self.fields, *self.params}:
                raise UsageError(f"{self.name}, {label}: {symbol} is neither a field nor a param")
        with labelled(f"{self.name}, {label}"):
            self._check_space(expression)
        if must_have_fields and not expression.free_symbols & set(self.fields):
            raise UsageError(f"{self.name}, {label}: {must_have_fields} has no field in it")

    def _check_space(self, expression: sympy.Expr) -> None:
        """Refuse derivatives of a plane on a sphere, and the other way round."""
        if not self.grid.spherical and expression.atoms(SphereOperator):
            raise UsageError("operators along [lat, lon] need a sphere: grid=Grid.sphere(32, ...)")
        for along in (d.parts[1].name for d in expression.atoms(D)):
            if self.grid.spherical and along in ("lat", "lon"):
                raise UsageError(
                    f"D(..., {along}) is no vector on a sphere: write grad, div, laplace or curl "
                    "along [lat, lon]"
                )

    def bind(
        self, grid: Grid | None = None, order: Order | Mapping[str, Order] | None = None
    ) -> Residual:
        """Return the residual on a grid: the plugin's own, or the compiled one.

        Args:
            grid: The grid; the specification's own where none is given.
            order: Accuracy in space, 2, 4 or 6, or ``"spectral"`` on periodic axes; one for all
                axes, or by name; the specification's own where none is given. Time has the order
                of ``time_scheme``. A sphere has harmonics, and no order but ``"spectral"``.

        Raises:
            UsageError: If the grid is too small for the stencil, or the order cannot be had.
        """
        if grid is not None and not isinstance(grid, Grid):
            raise UsageError(f"{self.name}: bind takes a grid, such as pde.grid.resized({grid!r})")
        grid, asked = grid or self.grid, order
        order = self.order if order is None else order
        if grid.spherical != self.grid.spherical:
            raise UsageError(
                f"{self.name}: bind takes another size of its own grid, such as "
                "pde.grid.resized(32)"
            )
        if self.residual is not None:
            takes_order = len(inspect.signature(self.residual).parameters) > 1
            return self.residual(grid, order) if takes_order else self.residual(grid)
        if grid.spherical:
            if asked not in (None, "spectral"):
                raise UsageError(
                    f"{self.name}: derivatives on a sphere are spectral: leave order={asked!r} out"
                )
            from piddm.sphere import SphereResidual

            with labelled(self.name):
                return SphereResidual(self, grid)
        from piddm.symbolic.residual import StencilResidual

        with labelled(self.name):
            return StencilResidual(self, grid, order)

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
                param's ``(batch,)``.
            grid: The grid; the specification's own where none is given.
            order: Accuracy in space: see :meth:`bind`.
            start: Where Newton's method starts; values that no row determines stay there.

        Returns:
            Every field and free param, float64, with a residual at round-off.

        Raises:
            UsageError: If the problem is ill-posed.
            PiddmError: If Newton's method does not converge, or what is given contradicts a row.
        """
        from piddm.derived import DerivedSolver

        with labelled(self.name):
            return DerivedSolver(self, grid or self.grid, given, order).solve(given, start)

    def slice_index(self, given: Slice, grid: Grid) -> tuple[int, int]:
        """Return ``(dimension, node)`` of a slice on a grid: it must be at an end of its axis."""
        axis, dimension = grid.axes[given.axis], grid.index(given.axis)
        if axis.latitude:
            raise UsageError(f"{self.name}: {given} is at a pole, where there is no node")
        if given.value == axis.lower:
            return dimension, 0
        if given.value == axis.upper and not axis.periodic:
            return dimension, axis.size - 1
        raise UsageError(
            f"{self.name}: {given} is not at an end of {given.axis} in [{axis.lower}, {axis.upper}]"
        )

    @property
    def free_params(self) -> tuple[str, ...]:
        """Names of the params whose values are unknowns."""
        return tuple(p.name for p in self.params if p.free)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(f.name for f in self.fields)


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Say of which equation a mistake is."""
    try:
        yield
    except PiddmError as error:
        text = str(error)
        raise type(error)(text if text.startswith(label) else f"{label}: {text}") from error
