"""The figures of a verification."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from piddm import figures
from piddm.equation import PDE
from piddm.grids.grid import NodeCounts
from piddm.tools.errors import PiddmError
from piddm.verification import Verification
from piddm.verification.data import contrasts, data_of, readable

ROWS = {"data": "data\nas solved", "noise": "noisy\nby a tenth", "zero": "zero\nwhere solved"}
"""Labels of the fields whose residuals are compared."""

TITLES = {
    "order_of_residual": ("residual, refined in space", "errors"),
    "order_in_time": ("residual, refined in time", "errors"),
    "order_of_solution": ("solution, relative error", "rms"),
}
"""Title of a check's panel, and the errors that it shows, of which the order is taken."""


def draw(
    pde: PDE, found: Verification, folder: Path, seed: int = 0, size: NodeCounts | None = None
) -> Iterator[Path]:
    """Draw what was measured into a folder; yield each figure's path."""
    panels = {}
    for check in found.checks:
        if check.name in TITLES and "lines" in check.values:
            title, which = TITLES[check.name]
            panels[title] = [li | {"errors": li[which]} for li in check.values["lines"]]
    drawn = figures.convergence(panels)
    if drawn is not None:
        figures.save(drawn, folder / "convergence.png")
        yield folder / "convergence.png"
    try:
        data = data_of(pde, seed, size)
    except PiddmError:  # the checks say why there are none
        return
    rows = {ROWS[k]: v for k, v in contrasts(pde, data, seed).items()}
    caption = "Colours of residual maps are logarithmic and the same in all rows."
    drawn = figures.samples(rows, data.residual, data.scale, pde.fields, caption)
    figures.save(drawn, folder / "residuals.png")
    yield folder / "residuals.png"
    sizes = next((c.values["terms"] for c in found.checks if "terms" in c.values), None)
    if sizes:
        residual = data.residual(data.fields)
        floor = {k: float(v.square().mean().sqrt()) for k, v in residual.items()}
        shown = {
            k: {readable(pde, k).get(t, str(t)): float(s) for t, s in v.items()}
            for k, v in sizes.items()
            if not data.residual.rows[k].boundary and v
        }
        if shown:
            figures.save(figures.scales(shown, floor), folder / "scales.png")
            yield folder / "scales.png"
