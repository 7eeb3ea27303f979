"""Networks, corrections, tasks, laws and figures on axes whose walls are beyond their nodes."""

import dataclasses

import numpy as np
import pytest
import torch

import piddm
from piddm import Axis, Grid, UsageError, figures, get_pde, priors
from piddm.data import dataset
from piddm.priors.maps import ZeroOnEdge
from piddm.symbolic import D, Field, t, x
from piddm.tasks.synthetic import draw_truth, place
from tiny import tiny

STRETCHED = tuple(np.linspace(0, 1, 17) ** 1.2)
CENTRE = Axis(0, 1, 16, location="centre")
u = Field("u")
HEAT = piddm.PDE(
    name="centred-heat",
    summary="Heat in a rod that nothing leaves",
    grid=Grid(t=Axis(0, 0.1, 9, time=True), x=CENTRE),
    fields=[u],
    equations={"balance": D(u, t) - D(u, x, 2)},
    conditions={"walls": piddm.Neumann(u)},
    inputs={u.at(t=0): priors.GaussianField(alpha=3.0, tau=3.0)},
)
GRIDS = {
    "centre": Grid(x=CENTRE.resized(17), y=CENTRE),
    "i/n and stretched": Grid(
        x=Axis(0, 1, 16, location=(0, 1)), y=Axis(0, 1, 17, nodes=STRETCHED)
    ),
}  # fmt: skip


def own(grid):
    return dataclasses.replace(get_pde("poisson"), grid=grid)


@pytest.mark.parametrize(
    ("pde", "sizes", "student"),
    [
        (own(GRIDS["centre"]), {"x": 17, "y": 16}, "one-step"),
        (own(GRIDS["i/n and stretched"]), {"x": 16, "y": 17}, "staged"),
        (HEAT, {"t": 9, "x": 16}, "staged"),
    ],
    ids=["centre", "stretched", "film"],
)
def test_a_run_learns_corrects_answers_and_is_drawn(pde, sizes, student, tmp_path):
    """Corrected samples are at float32's round-off, which second differences magnify by 4 n^2."""
    run = piddm.distill(
        pde, preset="quick", out=tmp_path / "run", progress=False,
        overrides=tiny({"data.size": sizes, "student.name": student}),
    )  # fmt: skip
    grid = run.residual.grid
    assert grid == pde.grid
    assert dataset.read(run.path / "samples.h5").grid == grid
    made = run.sample(2, seed=1, correct=True)
    rows = run.residual({k: v.double() for k, v in made.items()})
    for name, value in rows.items():
        assert float(value.square().mean().sqrt()) < 1e-3 * (run.scale[name] or 1.0)
    truth = draw_truth(pde, grid, seed=3)
    seen = place(truth, pde, "u", share=0.3, noise=0.01, between=True, seed=1)
    found = run.solve("reconstruct", seen, solver="gaussian", samples=2, progress=False)
    assert found.fields["u"].isfinite().all()
    figure = figures.solution(found, run.residual, run.scale, pde.fields)
    figures.save(figure, tmp_path / "answer.png")
    assert (tmp_path / "figures").exists() or (run.path / "figures").exists()


@pytest.mark.parametrize("grid", GRIDS.values(), ids=list(GRIDS))
def test_figures_draw_every_grid(grid, tmp_path):
    pde, fields = own(grid), {}
    for k, field in enumerate(pde.fields):
        draw = torch.Generator().manual_seed(k)
        fields[field.name] = torch.randn(3, *grid.shape, generator=draw)
    residual = pde.bind()
    scale = dict.fromkeys(residual.rows, 1.0)
    figures.save(figures.gallery(pde.fields, fields, grid), tmp_path / "gallery.png")
    figures.save(
        figures.samples({"a": fields}, residual, scale, pde.fields), tmp_path / "samples.png"
    )  # fmt: skip


def test_a_law_is_that_of_functions_whatever_the_nodes():
    """The same noise on a fine even axis and on a stretched one: one function, up to its modes."""
    law = priors.GaussianField(alpha=4.0, tau=3.0)
    uneven = Axis(0, 1, 65, nodes=tuple(np.linspace(0, 1, 65) ** 1.2))
    even = Axis(0, 1, 65, location="centre")
    noise = torch.randn(1, 65, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, other = (law.from_white(Grid(x=axis), noise)[0].numpy() for axis in (even, uneven))
    carried = np.interp(uneven.coordinates(), even.coordinates(), one)
    assert np.abs(carried - other)[2:-2].max() < 0.01 * np.abs(other).max()


def test_an_edge_that_has_no_node_keeps_its_values():
    law = ZeroOnEdge(priors.GaussianField(alpha=2.0, tau=3.0))
    draw = torch.Generator().manual_seed(0)
    made = law.sample(Grid(x=CENTRE, y=Axis(0, 1, 9)), 1, draw)[0]
    assert made[[0, -1], 1:-1].all()
    assert not made[:, [0, -1]].any()


def test_an_exponential_kernel_at_centres_and_at_no_unequal_distances():
    """Modes are orthonormal over the domain, by the midpoint rule; 1e-8 is the eigensolver's."""
    law = priors.KarhunenLoeve(0.3, 4)
    modes = law.functions(Grid(x=CENTRE.resized(32)))
    product = modes @ modes.T / 32
    np.testing.assert_allclose(product, np.diag(np.diag(product)), atol=1e-8)
    with pytest.raises(UsageError, match="equal distances"):
        law.functions(Grid(x=Axis(0, 1, 17, nodes=STRETCHED)))
