"""Equations as text that people read: ``∂u/∂t + ∂(u²/2)/∂x - nu·∂²u/∂x² = 0``."""

from __future__ import annotations

from typing import Any

import sympy
from sympy.printing.str import StrPrinter

from piddm.symbolic.operators import D

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Digits to superscripts."""


def equation_text(expression: sympy.Expr) -> str:
    """Return ``expression = 0`` as one line of text."""
    return f"{expression_text(expression)} = 0"


def expression_text(expression: Any) -> str:
    """Return an expression as one line of text, derivatives as they were written."""
    # A number such as 0 is a valid boundary value and no sympy object yet.
    text = _Printer().doprint(sympy.sympify(expression, strict=True))
    return text.replace("**", "^").replace("*", "·")


class _Printer(StrPrinter):
    """sympy finds the methods by the names of its classes."""

    def _print_D(self, expression: D) -> str:
        inner, axis, order = expression.parts
        body = self.doprint(inner)
        body = body if inner.is_Symbol else f"({body})"
        power = str(order).translate(_SUPERSCRIPTS) if order > 1 else ""
        return f"∂{power}{body}/∂{axis.name}{power}"

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, exponent = expr.as_base_exp()
        if not (exponent.is_Integer and exponent > 1):
            return super()._print_Pow(expr, rational)
        body = self.doprint(base)
        body = body if base.is_Symbol else f"({body})"
        return body + str(exponent).translate(_SUPERSCRIPTS)

    def _print_Add(self, expr: Any, order: Any = None) -> str:
        # sympy forgets the order of writing: what is short comes first, what is negative last.
        terms = [(t.could_extract_minus_sign(), self.doprint(t)) for t in expr.args]
        texts = [text for _, text in sorted(terms, key=lambda t: (t[0], len(t[1]), t[1]))]
        tail = (f" - {t[1:]}" if t.startswith("-") else f" + {t}" for t in texts[1:])
        return texts[0] + "".join(tail)
