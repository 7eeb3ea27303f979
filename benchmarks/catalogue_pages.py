"""A page and a figure of an equation, from its specification and from what was measured of it."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import sympy
import torch
from PIL import Image

from piddm import PDE
from piddm.data.simulate import simulate
from piddm.figures import gallery, save
from piddm.grids.grid import Axis, Grid
from piddm.symbolic.latex import expression_latex, formulas, name_latex, place_latex

NODES, SEED, SAMPLES = 64, 0, 4
"""Most nodes along an axis of the fields of three axes, whose data take long."""

COLOURS = 256

USE = """```sh
piddm show {name} --latex
piddm verify --pde {name}
piddm simulate --pde {name} --count 64
piddm distill --pde {name} --preset quick
piddm sample --pde {name} --count 16 --figure
```"""

DERIVED = "the derived solver: Newton's method on the residual itself, with the inputs held"
OWN = "a solver of the equation's own, compared with the derived one where there is one"


def page(pde: PDE, result: dict) -> str:
    """Return the page of an equation: ``result`` is its entry in ``equations.json``."""
    parts = [
        f"# {pde.name}", f"{pde.summary}. [All equations](../equations.md)",
        f"![Samples of the data]({pde.name}.png)", caption(pde), "## Formulation", formulation(pde),
        table(["axis", "range", "kind", "nodes"], (axis_row(*a) for a in pde.grid.axes.items())),
        "## Fields", fields(pde),
    ]  # fmt: skip
    if pde.params:
        parts += ["## Params", params(pde)]
    parts += ["## Inputs", inputs(pde, result), "## Discretisation", discretisation(pde)]
    parts += ["## Verified", verified(pde, result), "## Use", USE.format(name=pde.name)]
    parts += ["## Source", f"{pde.source or 'Not given'}."]
    return "\n\n".join(parts) + "\n"


def caption(pde: PDE) -> str:
    """Return what the figure shows."""
    grid = drawn_on(pde.grid)
    nodes = " × ".join(map(str, grid.shape))
    return (
        f"Samples of the data, on {nodes} nodes ({', '.join(grid.names)}), drawn from seed {SEED}."
    )


def formulation(pde: PDE) -> str:
    """Return equations, conditions and integrals, each displayed under its name."""
    lines = []
    for kind, group in formulas(pde).items():
        if kind == "where" and group:
            lines.append("with the abbreviations")
        for name, formula in group.items():
            if kind != "where":
                lines.append(f"{kind[:-1].capitalize()} `{name}`:")
            lines.append(f"$$\n{formula}\n$$")
    if not pde.equations:
        lines.append("The residual is a program of the plugin's own.")
    return "\n\n".join(lines)


def axis_row(name: str, axis: Axis) -> list[str]:
    """Return an axis's line of its table."""
    # The end of a periodic axis is its start again.
    ends = f"$[{end(axis.lower)}, {end(axis.upper)}{')' if axis.periodic else ']'}$"
    kinds = {"time": axis.time, "periodic": axis.periodic, "latitude": axis.latitude}
    kind = next((k for k, so in kinds.items() if so), "bounded")
    return [f"`{name}`", ends, kind, str(axis.size)]


def end(value: float) -> str:
    """Return a number, in halves of pi where it is some."""
    halves = 2 * value / math.pi
    if value and halves == round(halves):
        return expression_latex(sympy.Rational(round(halves), 2) * sympy.pi)
    return f"{value:g}"


def fields(pde: PDE) -> str:
    """Return the table of the fields."""
    rows = ([f"${name_latex(f.name)}$", f"`{f.name}`", f.doc, f.unit or "-"] for f in pde.fields)
    return table(["sign", "name", "meaning", "unit"], rows)


def params(pde: PDE) -> str:
    """Return the table of the params."""
    rows = (
        [
            f"${name_latex(p.name)}$", f"`{p.name}`", f"{p.value:g}", p.doc,
            "free: an unknown like the fields'" if p.free else "fixed",
        ]
        for p in pde.params
    )  # fmt: skip
    return table(["sign", "name", "value", "meaning", "kind"], rows)


def inputs(pde: PDE, result: dict) -> str:
    """Return the table of the inputs: their laws, and how much they were seen to vary."""
    rows = (
        [f"${place_latex(given)}$", f"`{law!r}`", f"{result['inputs'][str(given)]:.4f}"]
        for given, law in pde.inputs.items()
    )
    return table(["input", "law", "standard deviation"], rows)


def discretisation(pde: PDE) -> str:
    """Return how the equation is discretised and its data are made."""
    order = pde.order
    if not isinstance(order, (int, str)):
        order = ", ".join(f"{v} along {k}" for k, v in order.items())
    lines = [f"* order in space: {order}, where none is asked for"]
    if any(axis.time for axis in pde.grid.axes.values()):
        lines.insert(0, f"* time scheme: {pde.time_scheme}")
    lines.append(f"* data: {OWN if pde.simulate is not None else DERIVED}")
    return "\n".join(lines)


def verified(pde: PDE, result: dict) -> str:
    """Return the table of ``piddm verify``."""
    rows = (
        [name.replace("_", " "), check["verdict"], check["detail"]]
        for name, check in result["checks"].items()
    )
    found = table(["check", "verdict", "what was measured"], rows)
    return f"The table of `piddm verify --pde {pde.name}`, {result['seconds']:.0f} s:\n\n{found}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        "| " + " | ".join(v.replace("|", r"\|") for v in line) + " |" for line in lines
    )


def drawn_on(grid: Grid) -> Grid:
    """Return the grid of the figure."""
    if len(grid.shape) < 3:
        return grid
    most = {name: NODES * (2 if grid.spherical and name == "lon" else 1) for name in grid.names}
    return grid.resized({name: min(axis.size, most[name]) for name, axis in grid.axes.items()})


def draw(pde: PDE, path: Path) -> None:
    """Draw a few samples of the data."""
    grid = drawn_on(pde.grid)
    data = next(iter(simulate(pde, grid, SAMPLES, torch.Generator().manual_seed(SEED))))
    save(gallery(pde.fields, data, grid), path)
    # A palette makes the file three times smaller, and no difference that can be seen.
    image = Image.open(path).convert("RGB")
    image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
