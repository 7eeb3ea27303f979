"""Films by their first time: marching by modes, its adjoint, the answer."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

import piddm
from piddm.numerics.derived_solver import DerivedSolver
from piddm.numerics.periodic_marching import PeriodicMarching
from piddm.priors import GaussianField
from piddm.solvers import _splitting
from piddm.solvers._choice import choose
from piddm.solvers._film import films
from piddm.solvers._film_slopes import FilmSlopes
from piddm.tasks.ensemble import answer
from piddm.tasks.equation_model import EquationModel
from piddm.tasks.observations import Observations
from piddm.tasks.synthetic import draw_truth
from piddm.tasks.task import ask
from piddm.tools.errors import PiddmError


def started(name, sizes, count=1):
    pde = piddm.get_pde(name)
    grid = pde.grid.resized(sizes)
    ((given, law),) = pde.inputs.items()
    draw = torch.Generator().manual_seed(0)
    params = {p.name: p.value for p in pde.params}
    field = given.field.name
    return pde, grid, given, field, law.sample(grid.without("t"), count, draw), params


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("navier-stokes", {"t": 5, "x": 12, "y": 12}), ("burgers", {"t": 9, "x": 16}),
     ("allen-cahn", {"t": 9, "x": 24})],
)  # fmt: skip
def test_modes_march_as_factors_do(name, sizes):
    pde, grid, given, field, first, params = started(name, sizes, 2)
    found = PeriodicMarching(pde, grid, (field,), params).solve({field: first})
    expected = DerivedSolver(pde, grid, [given]).solve({given: first})
    for k, v in expected.items():
        torch.testing.assert_close(found[k], v, rtol=1e-9, atol=1e-11)  # both to round-off


def test_a_step_that_is_too_long_is_refused():
    pde, grid, _, field, first, params = started("burgers", {"t": 3, "x": 32})
    with pytest.raises(PiddmError, match="ask for more times"):
        PeriodicMarching(pde, grid, (field,), params).solve({field: 50 * first})


@pytest.mark.parametrize("name", ["navier-stokes", "burgers"])
def test_the_adjoint_is_the_derivative(name):
    """Observations of all fields at first, middle and last times, against central differences."""
    sizes = {"t": 6, "x": 10, "y": 10} if name == "navier-stokes" else {"t": 6, "x": 12}
    pde, grid, _, field, first, params = started(name, sizes)
    march = PeriodicMarching(pde, grid, (field,), params)
    nodes, rng = int(np.prod(grid.shape)), np.random.default_rng(0)
    picked = rng.choice(nodes * len(pde.fields), 40, replace=False)
    seen = csr_matrix((np.ones(40), (np.arange(40), picked)), (40, nodes * len(pde.fields)))
    film = march.solve({field: first})
    slopes = FilmSlopes(pde, grid, (field,), params, seen)({k: v[0] for k, v in film.items()})
    along = torch.randn(first.shape, generator=torch.Generator().manual_seed(1)).double()
    ends = [march.solve({field: first + s * along}) for s in (1e-4, -1e-4)]
    flat = [torch.cat([e[f.name].flatten() for f in pde.fields])[picked] for e in ends]
    expected = ((flat[0] - flat[1]) / 2e-4).numpy()
    found = slopes.reshape(40, -1) @ along.flatten().numpy()
    # Single precision, and corrections that end at 1e-5 of the adjoint.
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


def test_slopes_of_every_second_node_are_near_those_of_all(monkeypatch):
    monkeypatch.setattr("piddm.solvers._film_slopes.LONG", 32)
    pde, grid, _, field, first, params = started("navier-stokes", {"t": 17, "x": 64, "y": 64})
    film = PeriodicMarching(pde, grid, (field,), params).solve({field: first})
    nodes = int(np.prod(grid.shape))
    picked = nodes - 1 - np.arange(0, 4096, 97)
    count = len(picked)
    seen = csr_matrix((np.ones(count), (np.arange(count), picked)), (count, 2 * nodes))
    whole = {k: v[0] for k, v in film.items()}
    rough = FilmSlopes(pde, grid, (field,), params, seen)
    assert rough.grid.shape == (9, 32, 32)
    monkeypatch.setattr("piddm.solvers._film_slopes.LONG", 64)
    monkeypatch.setattr("piddm.solvers._film_slopes.TIMES", 17)
    fine = FilmSlopes(pde, grid, (field,), params, seen)
    # Along directions that the law draws; what grids of 32 and 64 nodes have apart is 1 %.
    law = GaussianField(alpha=2.5, tau=7.0)
    along = law.sample(grid.without("t"), 4, torch.Generator().manual_seed(2)).flatten(1).numpy()
    one, other = (s(whole).reshape(count, -1) @ along.T for s in (rough, fine))
    assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)


def test_a_film_is_found_from_its_last_time(monkeypatch):
    """Against the law alone, whose error is 1; noisy sensors, chi squared 1, intervals."""
    monkeypatch.setattr(_splitting, "LARGEST", 1000)
    pde = piddm.get_pde("navier-stokes")
    grid = pde.grid.resized({"t": 9, "x": 24, "y": 24})
    truths = [draw_truth(pde, grid, k) for k in range(3)]
    data = {k: torch.cat([t.fields[k] for t in truths[1:]]) for k in ("w", "psi")}
    model = EquationModel(pde, dataclasses.replace(truths[0], fields=data))
    draw = torch.Generator().manual_seed(0)
    mask = torch.zeros(grid.shape, dtype=torch.bool)
    mask[-1] = torch.rand(24, 24, generator=draw) < 0.2
    true = {k: v[0] for k, v in truths[0].fields.items()}
    seen = Observations.at_nodes(grid, {"w": true["w"]}, {"w": mask})
    size = 0.02 * float(true["w"].std())
    noisy = seen.values["w"] + size * torch.randn(len(seen.values["w"]), generator=draw)
    seen = dataclasses.replace(seen, values={"w": noisy}, sigma={"w": torch.full_like(noisy, size)})
    task = ask("reconstruct", pde, seen)
    assert films(pde, grid)
    assert choose(model, task, trained=False)[0] == "classical"
    found = answer(model, task, "classical", 12, progress=False)
    error = float((found.mean["w"][0] - true["w"][0]).norm() / true["w"][0].norm())
    assert error < 0.2
    assert float(found.residual.max()) < 1e-18
    assert 0.7 < float(found.misfit.mean()) < 1.3
    assert 0.7 < found.covered({"w": true["w"]}, 0.9)["w"] <= 1.0
