"""Unevaluated operators of the unit sphere, which stay as written like ``D`` does.

Authors write ``laplace(u, [lat, lon])`` and the like, :mod:`piddm.symbolic.operators`; a vector's
components are northward, then eastward.
"""

from __future__ import annotations

from typing import Any

import sympy

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits to superscripts."""


class SphereOperator(sympy.Function):
    """Base of the operators; each has a sign for text and one for LaTeX."""

    before = ("", "")
    after = ("", "")

    def _bare(self) -> tuple[str, str]:
        """Return what stands before the arguments, as text and as LaTeX."""
        return self.before

    def _inner(self) -> tuple[Any, ...]:
        return self.args

    def _sympystr(self, printer: Any) -> str:
        inner = self._inner()
        body = ", ".join(map(printer.doprint, inner))
        body = body if len(inner) == 1 and inner[0].is_Symbol else f"({body})"
        return f"{self._bare()[0]}{body}{self.after[0]}"

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        inner = self._inner()
        body = r",\ ".join(map(printer.doprint, inner))
        body = body if len(inner) == 1 and inner[0].is_Symbol else rf"\left({body}\right)"
        text = f"{self._bare()[1]} {body}{self.after[1]}"
        return text if exp is None else rf"\left({text}\right)^{{{exp}}}"


class _OfScalar(SphereOperator):
    nargs = 1

    @classmethod
    def eval(cls, expression: Any) -> Any:  # pyright: ignore
        """Vanish on constants, stay as written otherwise."""
        return sympy.S.Zero if expression.is_number else None


class _OfVector(SphereOperator):
    nargs = 2

    @classmethod
    def eval(cls, north: Any, east: Any) -> Any:  # pyright: ignore
        """Vanish only on zero: components that are constant make no constant vector."""
        return sympy.S.Zero if north == east == 0 else None


class Laplace(_OfScalar):
    """Operator of Laplace and Beltrami."""

    before = ("Δ", r"\Delta")

    @property
    def power(self) -> int:
        """How often it is applied in a row."""
        (inner,) = self.args
        return 1 + (inner.power if isinstance(inner, Laplace) else 0)

    def _bare(self) -> tuple[str, str]:
        if self.power == 1:
            return self.before
        return f"Δ{str(self.power).translate(_SUPERSCRIPTS)}", rf"\Delta^{{{self.power}}}"

    def _inner(self) -> tuple[Any, ...]:
        return (self.innermost,)

    @property
    def innermost(self) -> Any:
        """The expressions that all of them are applied to."""
        (inner,) = self.args
        return inner.innermost if isinstance(inner, Laplace) else inner


class InverseLaplace(_OfScalar):
    """The field of mean zero whose Laplacian is the argument less its mean."""

    before = ("Δ⁻¹", r"\Delta^{-1}")


class GradNorth(_OfScalar):
    """Northward component of a gradient."""

    before, after = ("(∇", r"(\nabla"), (")_north", r")_\mathrm{north}")


class GradEast(_OfScalar):
    """Eastward component of a gradient."""

    before, after = ("(∇", r"(\nabla"), (")_east", r")_\mathrm{east}")


class Div(_OfVector):
    """Divergence of a northward and an eastward component."""

    before = ("∇·", r"\nabla \cdot")


class Curl(_OfVector):
    """Outward component of the curl of a northward and an eastward component."""

    before = ("∇×", r"\nabla \times")
