"""The projection against the conditions that the nearest point of a set must meet."""

import numpy as np
import pytest
import torch

from piddm import PDE, Axis, Grid, Integral, Neumann, PiddmError, UsageError, get_pde
from piddm.data.simulate import simulate
from piddm.numerics.projection import Projection
from piddm.priors import GaussianField, Uniform
from piddm.residuals.norms import mean_squares, term_scale
from piddm.symbolic import D, Field, Param, laplace, t, x, y
from piddm_pdes.burgers import BURGERS
from piddm_pdes.darcy import DARCY

u, f = Field("u"), Field("f")
SMOOTH = GaussianField(2.5, 7.0)
SPACE_TIME = Grid(t=Axis(0, 1, 8, time=True), x=Axis(0, 1, 8, periodic=True))
C, NU = Param("c", 0.0, free=True), Param("nu", 2.0, free=True)

NEUMANN = PDE("neumann", "", Grid(x=Axis(0, 1, 9), y=Axis(0, 1, 9)), [f, u],
              {"balance": laplace(u, [x, y]) + f - C}, inputs={f: SMOOTH}, params=[C],
              conditions={"wall": Neumann(u, 0)}, integrals={"mean": Integral(u, 0)})  # fmt: skip
HEAT = PDE("heat", "", SPACE_TIME, [u], {"heat": D(u, t) - NU * D(u, x, 2) / 50}, params=[NU],
           inputs={u.at(t=0): SMOOTH, NU: Uniform(1, 5)})  # fmt: skip
MASS = PDE("mass", "", SPACE_TIME, [u], {"flow": D(u, t) + D(u**2 / 2, x) - D(u, x, 2) / 100 + u},
           inputs={u.at(t=0): SMOOTH}, integrals={"mean": Integral(u, 0)})  # fmt: skip


def made(pde: PDE, noise: float = 0.02, nodes: int = 8) -> tuple:
    """Return the residual, noisy fields, their deviations and the scale of the rows."""
    grid = pde.grid.resized(nodes)
    (clean,) = simulate(pde, grid, 2, torch.Generator().manual_seed(0))
    residual = pde.bind(grid)
    sizes = {k: float(clean[k].std()) for k in pde.field_names}
    generator = torch.Generator().manual_seed(3)
    noisy = {k: clean[k] + noise * s * torch.randn(clean[k].shape, generator=generator).double()
             for k, s in sizes.items()}  # fmt: skip
    return residual, noisy, sizes, term_scale(residual, clean)


def error(residual, fields, scale) -> float:
    return float(sum(mean_squares(residual, fields, scale).values()))


@pytest.mark.parametrize("pde", [BURGERS, DARCY, NEUMANN, HEAT, MASS], ids=lambda p: p.name)
def test_the_nearest_solution(pde):
    """R vanishes; the move lies in the span of J^T, by multipliers that free params do not feel."""
    residual, noisy, sizes, scale = made(pde)
    projection = Projection(residual, sizes, scale)
    before, near = error(residual, noisy, scale), projection(noisy, nearest=20)
    assert before > 1e-4
    assert error(residual, near, scale) < 1e-20
    names = [*sizes, *residual.free_params]
    move = torch.cat([((noisy[k] - near[k]) / sizes[k]).flatten(1) for k in sizes], dim=1)[0]

    def rows(flat):
        parts = flat[: len(move)].view(len(sizes), 1, *residual.grid.shape)
        fields = {k: p * sizes[k] for k, p in zip(sizes, parts, strict=True)}
        fields |= {k: flat[len(move) + i].view(1) for i, k in enumerate(residual.free_params)}
        return projection.vector(fields)[0]

    at = [(near[k][0] / sizes.get(k, 1.0)).flatten() for k in names]
    matrix = torch.autograd.functional.jacobian(rows, torch.cat(at))
    wanted = torch.cat([move, move.new_zeros(len(residual.free_params))])
    along = matrix.mT @ torch.linalg.lstsq(matrix.mT, wanted[:, None], driver="gelsd").solution
    assert float((along[:, 0] - wanted).norm() / move.norm()) < 1e-5
    assert float(projection.distance(noisy)[0]) == pytest.approx(
        float(move.square().mean()), rel=0.05
    )


def test_held_values_stay():
    """The permeability and one pressure node are held: the pressure becomes the solver's."""
    residual, noisy, sizes, scale = made(DARCY)
    held = {"a": np.ones((8, 8), dtype=bool)}
    near = Projection(residual, sizes, scale, held)(noisy, steps=20)
    assert torch.equal(near["a"], noisy["a"])
    a = DARCY.fields[0]
    solved = DARCY.solve({a: noisy["a"]}, residual.grid)
    torch.testing.assert_close(near["u"], solved["u"], rtol=0, atol=1e-9)
    held["u"] = np.zeros((8, 8), dtype=bool)
    held["u"][3, 4] = True
    loose = Projection(residual, sizes, scale, {"u": held["u"]})(noisy, steps=20)
    assert torch.equal(loose["u"][:, 3, 4], noisy["u"][:, 3, 4])
    assert error(residual, loose, scale) < 1e-20
    with pytest.raises(PiddmError, match="no nearest solution of mass, wall"):
        Projection(residual, sizes, scale, held)(noisy)  # more rows than values that may move
    with pytest.raises(UsageError, match="nothing is left to project"):
        Projection(residual, sizes, scale, {k: np.ones((8, 8), bool) for k in sizes})


def test_a_weighted_norm():
    """Each norm's own nearest solution is nearer, in that norm, than the other's."""
    residual, noisy, sizes, scale = made(BURGERS)
    stiff = np.full((8, 8), sizes["u"])
    stiff[:, :4] *= 0.1
    norms = [torch.full((8, 8), sizes["u"]).double(), torch.from_numpy(stiff)]
    moves = [
        noisy["u"] - Projection(residual, {"u": norm.numpy()}, scale)(noisy)["u"] for norm in norms
    ]
    for own, other in ((0, 1), (1, 0)):
        lengths = [(moves[k] / norms[own]).square().sum((1, 2)) for k in (own, other)]
        assert bool((lengths[0] < 0.995 * lengths[1]).all())


def test_the_distance_loss_pulls_to_the_projection():
    """A gradient step of the loss is half way to the projected state, whatever the equation."""
    residual, noisy, sizes, scale = made(DARCY, noise=1e-4)
    projection = Projection(residual, sizes, scale)
    near, pull = projection(noisy, nearest=20), projection.correction(noisy)
    for k, size in sizes.items():
        torch.testing.assert_close(noisy[k] - size * pull[k], near[k], rtol=0, atol=1e-6 * size)


def test_rows_that_follow_from_others():
    """On a torus sums of rows follow from other sums: the matrix is singular, the point is not."""
    pde = get_pde("navier-stokes")
    grid = pde.grid.resized({"t": 3, "x": 8, "y": 8})
    (clean,) = simulate(pde, grid, 2, torch.Generator().manual_seed(0))
    residual, scale = pde.bind(grid), term_scale(pde.bind(grid), clean)
    sizes = {k: float(v.std()) for k, v in clean.items()}
    generator = torch.Generator().manual_seed(3)
    noisy = {k: v + 0.02 * sizes[k] * torch.randn(v.shape, generator=generator).double()
             for k, v in clean.items()}  # fmt: skip
    near = Projection(residual, sizes, scale)(noisy)
    assert error(residual, noisy, scale) > 1e-3
    assert error(residual, near, scale) < 1e-20


def test_a_free_param_is_found_on_rough_fields():
    """Least squares on noise find too small a rate; the first move is the nearest solution's still.

    With the rate as fitted, its square would be off by more than a tenth.
    """
    residual, noisy, sizes, scale = made(HEAT, 0.3)
    projection = Projection(residual, sizes, scale)
    near, fitted = projection(noisy), residual.fit(noisy)
    assert bool((fitted["nu"] < 0.75 * near["nu"]).all())
    moved = ((noisy["u"] - near["u"]) / sizes["u"]).square().mean((1, 2))
    torch.testing.assert_close(projection.distance(noisy), moved, rtol=0.02, atol=0)
    here = projection.normal.at(fitted)
    single = here.solve(here.rows, 1e-3).move.square().mean(1)
    assert bool((single > 1.1 * moved).all())
