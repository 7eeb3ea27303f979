"""Harmonic means at faces: the flux through layers in a row is exact."""

from __future__ import annotations

import pytest
import sympy
import torch

from piddm import PDE, Axis, Dirichlet, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, harmonic, x, y
from piddm.verification import verify

SMOOTH = GaussianField(alpha=2.0, tau=3.0)
u, k, f = Field("u"), Field("k"), Field("f")


@pytest.mark.parametrize("contrast", [10.0, 1000.0])
def test_layers_in_a_row_are_exact_at_the_nodes(contrast):
    """The jump is halfway between nodes 7 and 8: the flux is that of two resistances in a row."""
    pde = PDE(name="layers", summary="two layers", grid=Grid(x=Axis(0, 1, 16)), fields=[u, k],
              equations={"b": D(2 * harmonic(k) * D(u, x), x)}, inputs={k: None},
              conditions={"left": Dirichlet(u.at(x=0)),
                          "right": Dirichlet(u.at(x=1), 1)})  # fmt: skip
    nodes = torch.linspace(0, 1, 16, dtype=torch.float64)
    solved = pde.solve({k: torch.where(nodes < 0.5, 1.0, contrast)[None]})["u"][0]
    flux = 1 / (0.5 + 0.5 / contrast)
    exact = torch.where(nodes < 0.5, flux * nodes, 1 - flux * (1 - nodes) / contrast)
    torch.testing.assert_close(solved, exact, rtol=1e-10, atol=1e-10)


def test_verify_observes_its_orders_in_two_axes():
    flow = sympy.Add(*(D(harmonic(k) * D(u, a), a) for a in (x, y)))
    pde = PDE(name="h", summary="h", grid=Grid(x=Axis(0, 1, 9), y=Axis(0, 1, 9, periodic=True)),
              fields=[u, k, f], equations={"b": flow - f}, conditions={"w": Dirichlet(u)},
              inputs={k: SMOOTH, f: SMOOTH})  # fmt: skip
    found = verify(pde, ["order_of_residual", "conservation", "gradient"])
    assert found.passed, [c.detail for c in found.failed]
