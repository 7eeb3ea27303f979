"""A specification in a few lines: as text for prompts, and with formulas for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from piddm.grids.grid import Grid
from piddm.tools.notebooks import lines

if TYPE_CHECKING:
    from piddm.symbolic.specification import Specification


def text_of(pde: Specification) -> str:
    """Return name, summary, equations, conditions, inputs, params and domain as lines of text."""
    from piddm.symbolic.text import equation_text

    rows = {name: equation_text(e) for name, e in pde.equations.items()}
    rows |= {name: c.text(pde.grid) for name, c in pde.conditions.items()}
    rows |= {name: i.text(pde.grid) for name, i in pde.integrals.items()}
    return lines(f"{pde.name}: {pde.summary}", rows | _words(pde))


def html_of(pde: Specification) -> str:
    """Return the same as HTML, formulas in LaTeX between dollars, which notebooks set."""
    from piddm.symbolic.latex import formulas

    found = formulas(pde)
    rows = [f"<p><b>{escape(pde.name)}</b>: {escape(pde.summary)}</p>", "<table>"]
    for kind in ("equations", "where", "conditions", "integrals"):
        for name, formula in found[kind].items():
            rows.append(f"<tr><td>{escape(name)}</td><td>${escape(formula)}$</td></tr>")
    for name, said in _words(pde).items():
        if said:
            rows.append(f"<tr><td>{name}</td><td>{escape(said)}</td></tr>")
    return "\n".join([*rows, "</table>"])


def _words(pde: Specification) -> dict[str, str]:
    return {
        "fields": ", ".join(f"{f.name} ({f.doc})" if f.doc else f.name for f in pde.fields),
        "params": ", ".join(
            f"{p.name} unknown" if p.free else f"{p.name} = {p.value:g}" for p in pde.params
        ),
        "inputs": ", ".join(f"{k} ~ {type(v).__name__}" for k, v in pde.inputs.items()),
        "domain": domain(pde.grid),
    }


def domain(grid: Grid) -> str:
    """Return the axes of a grid with their ends and nodes: ``t in [0, 1], 64 nodes; ...``."""
    if grid.spherical:
        return f"sphere, {' × '.join(map(str, grid.shape))} nodes"
    return "; ".join(
        f"{name} in [{axis.lower:g}, {axis.upper:g}{') periodic' if axis.periodic else ']'}, "
        f"{axis.size} nodes"
        for name, axis in grid.axes.items()
    )
