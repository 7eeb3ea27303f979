"""The declarative specification of an equation: all that a plugin writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from piddm.grids.grid import Grid
from piddm.priors import Prior
from piddm.symbolic.conditions import Condition, Integral
from piddm.symbolic.names import check_label, check_name
from piddm.symbolic.operators import Bounds, Coordinate, D, Field, Param, Slice, strict
from piddm.symbolic.spherical import SphereOperator
from piddm.tools.errors import UsageError, labelled, nearest

if TYPE_CHECKING:
    import sympy

TimeScheme = Literal["crank-nicolson", "backward-euler", "bdf2", "newmark", "centred"]


Order = int | Literal["spectral"]
"""2, 4 or 6: finite differences of that order. ``"spectral"``: exact on trigonometric fields."""

ORDERS: tuple[Order, ...] = (2, 4, 6, "spectral")
"""Orders of accuracy of the stencils."""


@dataclass(frozen=True, eq=False)
class Specification:
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
            times (``crank-nicolson``, ``backward-euler``), between three (``bdf2``, for stiff
            equations; ``newmark``, for second derivatives in time), or centred differences.
        order: Accuracy in space where none is asked for: of data, training and samples.
        source: Where formulation and constants come from.
        simulate: Optional ``(pde, grid, count, generator) -> {field: tensor}`` that replaces the
            derived solver. Where it takes ``indices``, a range, it is told which samples it makes;
            one that has only so many, such as measurements, says so in an attribute ``count``.
        residual: Optional ``(grid, order) -> Residual`` for what symbols cannot say; where it
            takes only the grid, it has one order.
        start: Where the solver starts, by field or free param: a number, or an expression in
            coordinates; else zero, a field's given initial state, or inside its bounds.

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
    residual: Callable[..., Any] | None = None
    start: Mapping[Field | Param, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name(self.name, "an equation")
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
        for item, value in self.start.items():
            if item not in (*self.fields, *(p for p in self.params if p.free)):
                raise UsageError(f"{self.name}: start: {item} is no field and no free param")
            self._check(f"the start of {item}", value)
            if strict(value).free_symbols & {*self.fields, *self.params}:
                raise UsageError(f"{self.name}: the start of {item} depends on coordinates only")
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
        for what in ("equations", "inputs", "start"):
            if not isinstance(getattr(self, what), Mapping):
                raise UsageError(f"{self.name}: {what} are a dictionary")
        for label in (*self.equations, *self.conditions, *self.integrals):
            check_label(label, self.name)
        for kind, symbols in (("field", self.fields), ("param", self.params)):
            for symbol in symbols:
                check_name(getattr(symbol, "name", symbol), f"{self.name}: a {kind}")

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

    def check(self, label: str, expression: Any) -> None:
        """Refuse an expression that names what the equation or its grid has not.

        Raises:
            UsageError: If it does; ``label`` says of what.
        """
        self._check(label, expression)

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
        for d in expression.atoms(D):
            if d.wind and self.grid.axes[d.parts[1].name].time:
                raise UsageError("an upwind derivative is along an axis of space, not of time")
        for along in (d.parts[1].name for d in expression.atoms(D)):
            if self.grid.spherical and along in ("lat", "lon"):
                raise UsageError(
                    f"D(..., {along}) is no vector on a sphere: write grad, div, laplace or curl "
                    "along [lat, lon]"
                )

    def slice_index(self, given: Slice, grid: Grid) -> tuple[int, int]:
        """Return ``(dimension, node)`` of a slice on a grid: it must be at an end of its axis."""
        axis, dimension = grid.axes[given.axis], grid.index(given.axis)
        if axis.latitude:
            raise UsageError(f"{self.name}: {given} is at a pole, where there is no node")
        if given.value in axis.ends and axis.gaps[given.value == axis.upper] > 0:
            raise UsageError(
                f"{self.name}: {given} is at a wall that no node of {given.axis} is at; an input "
                "needs nodes, so take an axis with location='vertex'"
            )
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
    def bounds(self) -> dict[str, Bounds]:
        """The ranges of those fields that have one."""
        return {f.name: f.bounds for f in self.fields if f.bounds != (None, None)}

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the fields, in order."""
        return tuple(f.name for f in self.fields)
