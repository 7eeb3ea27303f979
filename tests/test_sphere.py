"""Equations on the sphere: harmonics, operators of the language, residuals, data, laws."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import sympy
import torch
from torch_harmonics import InverseRealSHT, InverseRealVectorSHT, RealSHT, RealVectorSHT

from piddm import PDE, Axis, Grid, Integral, PiddmError, UsageError
from piddm.data.simulate import simulate
from piddm.grids.harmonics import Harmonics, harmonics_of
from piddm.numerics.jacobian import Jacobian
from piddm.numerics.normal_by_gradients import GradientNormal
from piddm.plugins import get_pde
from piddm.priors import GaussianField, ZeroOnEdge
from piddm.symbolic import (
    D,
    Field,
    Param,
    curl,
    div,
    grad,
    inverse_laplace,
    laplace,
    lat,
    lon,
    rotated_grad,
    t,
    x,
    y,
)
from piddm.symbolic.text import equation_text
from piddm.verification import verify

SIZE = 16
BALL = Grid.sphere(SIZE)
TIMED = Grid.sphere(8, t=Axis(0, 1, 5, time=True))
S = [lat, lon]
u, a = Field("u"), Field("a")
LAW = GaussianField(2.0, 3.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape):
    return torch.randn(shape, generator=seeded(), dtype=torch.float64)


def equation(expression, grid=BALL, **more):
    fields = more.pop("fields", [u])
    inputs = more.pop("inputs", {})
    return PDE("test", "a test", grid, fields, {"rows": expression}, inputs, **more)


def value(expression, grid=BALL, **fields):
    pde = equation(expression, grid, fields=[Field(k) for k in fields])
    return pde.bind()(fields)["rows"]


@pytest.fixture(scope="module")
def basis():
    return harmonics_of(BALL).basis()


def relative(found, wanted):
    return float((found - wanted).abs().max() / wanted.abs().max())


def test_harmonics_are_orthonormal(basis):
    functions, degree = basis
    flat, weights = functions.flatten(1), torch.from_numpy(BALL.weights()).flatten()
    gram = (flat * weights) @ flat.T / len(weights)
    torch.testing.assert_close(gram, torch.eye(SIZE**2).double(), atol=1e-13, rtol=0)
    assert degree.bincount().tolist() == [2 * d + 1 for d in range(SIZE)]


def test_harmonics_are_eigenvectors_of_the_laplacian(basis):
    functions, degree = basis
    found, eigenvalue = value(laplace(u, S), u=functions), -(degree * (degree + 1.0))
    error = (found - eigenvalue[:, None, None] * functions).flatten(1).norm(dim=1)
    size = eigenvalue.abs().clamp_min(1) * functions.flatten(1).norm(dim=1)
    assert float((error / size).max()) < 1e-12
    back = value(inverse_laplace(laplace(u, S), S), u=functions[degree > 0])
    assert relative(back, functions[degree > 0]) < 1e-12
    assert float(value(inverse_laplace(u, S), u=functions[degree == 0]).abs().max()) < 1e-12


def test_operators_of_vectors_agree_with_each_other(basis):
    functions, _ = basis
    wanted = value(laplace(u, S), u=functions)
    assert relative(value(div(grad(u, S), S), u=functions), wanted) < 1e-12
    assert relative(value(curl(rotated_grad(u, S), S), u=functions), wanted) < 1e-12
    size = float(wanted.abs().max())
    assert float(value(curl(grad(u, S), S), u=functions).abs().max()) < 1e-12 * size
    assert float(value(div(rotated_grad(u, S), S), u=functions).abs().max()) < 1e-12 * size


def test_components_go_north_then_east_and_turn_anticlockwise():
    north, east = torch.meshgrid(
        *(torch.from_numpy(BALL.axes[k].coordinates()) for k in ("lat", "lon")), indexing="ij"
    )
    torch.testing.assert_close(value(grad(u, S)[0], u=north.sin()[None])[0], north.cos())
    wave = (north.cos() * east.sin())[None]
    torch.testing.assert_close(value(grad(u, S)[1], u=wave)[0], east.cos())
    # Of a body that turns with the Earth, eastward cos(lat), the vorticity is 2 sin(lat).
    b = Field("b")
    spin = value(curl([u, b], S), u=0 * wave, b=north.cos()[None])
    torch.testing.assert_close(spin[0], 2 * north.sin())
    # The stream function -sin(lat) drives it.
    torch.testing.assert_close(value(rotated_grad(u, S)[1], u=-north.sin()[None])[0], north.cos())
    torch.testing.assert_close(
        value(div([u, b], S), u=north.cos()[None], b=0 * wave)[0], -2 * north.sin()
    )


def test_operators_are_those_of_torch_harmonics():
    """Their transforms go from north to south, their vectors southward; weights are in float32."""
    made = [
        kind(SIZE, 2 * SIZE, lmax=SIZE, mmax=SIZE, grid="legendre-gauss").double()
        for kind in (RealSHT, InverseRealSHT, RealVectorSHT, InverseRealVectorSHT)
    ]
    scalar, scalar_back, vector, vector_back = made
    eigenvalue = -torch.arange(SIZE)[:, None] * (torch.arange(SIZE)[:, None] + 1.0)
    f, g = noise(2, SIZE, 2 * SIZE), noise(2, SIZE, 2 * SIZE).roll(3, -1)
    modes = scalar(f.flip(-2))
    slopes = vector_back(torch.stack([modes, 0 * modes], -3)).flip(-2)
    assert relative(value(grad(u, S)[0], u=f), -slopes[:, 0]) < 1e-12
    assert relative(value(grad(u, S)[1], u=f), slopes[:, 1]) < 1e-12
    modes = vector(torch.stack([-f, g], 1).flip(-2))
    b = Field("b")
    wanted = scalar_back(eigenvalue * modes[:, 0]).flip(-2)
    assert relative(value(div([u, b], S), u=f, b=g), wanted) < 1e-6
    wanted = scalar_back(eigenvalue * modes[:, 1]).flip(-2)
    found = value(curl([u, b], S), u=f, b=g)
    assert min(relative(found, wanted), relative(found, -wanted)) < 1e-6


def test_nothing_but_constants_has_no_laplacian():
    """Nodes hold more than harmonics do; what they hold beyond has the steepest eigenvalue."""
    grid = Grid.sphere(6)
    nodes = torch.eye(72, dtype=torch.float64).view(72, 6, 12)
    matrix = harmonics_of(grid).laplace()(nodes).flatten(1)
    values = torch.linalg.eigvals(matrix).real.sort().values
    expected = [-d * (d + 1.0) for d in range(6) for _ in range(2 * d + 1)] + [-30.0] * 36
    torch.testing.assert_close(values, torch.tensor(sorted(expected)).double(), atol=1e-9, rtol=0)


def test_a_step_is_crank_nicolson_written_by_hand():
    nu = Param("nu", 0.1)
    pde = equation(
        D(u, t) - nu * laplace(u, S) - sympy.sin(lat) * t * u**2, TIMED, params=[nu],
        inputs={u.at(t=0): LAW},
    )  # fmt: skip
    f, nus = noise(3, 5, 8, 16), torch.tensor([0.1, 0.2, 0.3]).double()
    times = torch.linspace(0, 1, 5).double().view(1, 5, 1, 1)
    sine = torch.from_numpy(np.sin(TIMED.axes["lat"].coordinates())).view(8, 1)
    right = nus.view(3, 1, 1, 1) * harmonics_of(TIMED).laplace()(f) + sine * times * f**2
    wanted = (f[:, 1:] - f[:, :-1]) * 4 - (right[:, 1:] + right[:, :-1]) / 2
    residual = pde.bind()
    torch.testing.assert_close(residual({"u": f, "nu": nus})["rows"], wanted)
    terms = residual.terms({"u": f, "nu": nus})["rows"]
    torch.testing.assert_close(sum(terms.values()), wanted)
    implicit = dataclasses.replace(pde, time_scheme="backward-euler")
    wanted = (f[:, 1:] - f[:, :-1]) * 4 - right[:, 1:]
    torch.testing.assert_close(implicit.bind()({"u": f, "nu": nus})["rows"], wanted)


def test_integrals_are_over_the_area():
    mean, moved = Integral(u**2, 3), Integral(u * sympy.sin(lat) ** 2, conserved=True)
    pde = equation(D(u, t) - u, TIMED, integrals={"mean": mean, "moved": moved},
                   inputs={u.at(t=0): LAW})  # fmt: skip
    f = torch.arange(5).double().view(1, 5, 1, 1).expand(2, 5, 8, 16)
    rows = pde.bind()(dict(u=f))
    torch.testing.assert_close(
        rows["mean"], (4 * math.pi * torch.arange(5).double() ** 2 - 3).expand(2, 5)
    )
    torch.testing.assert_close(rows["moved"], torch.full((2, 4), 4 * math.pi / 3).double())
    assert mean.text(TIMED) == "∫ u² dA = 3"


def test_free_params_are_fitted():
    k = Param("k", 1.0, free=True)
    pde = equation(laplace(u, S) - k * a, fields=[u, a], params=[k], inputs={a: LAW})
    f = LAW.sample(BALL, 3, seeded())
    wanted = torch.tensor([2.0, -1.0, 0.5]).double()
    state = {"a": f, "u": wanted.view(3, 1, 1) * harmonics_of(BALL).laplace(-1)(f)}
    torch.testing.assert_close(pde.bind().fit(state)["k"], wanted, rtol=1e-9, atol=0)
    assert float(pde.bind()(state)["rows"].abs().max()) < 1e-10


def test_derivatives_forward_and_back():
    pde = equation(D(u, t) + div([u * v for v in rotated_grad(inverse_laplace(u, S), S)], S),
                   TIMED, inputs={u.at(t=0): LAW})  # fmt: skip
    residual, f, along = pde.bind(), noise(2, 5, 8, 16), noise(3, 2, 5, 8, 16)
    _, change = residual.tangent({"u": f}, {"u": along})
    moved = f.clone().requires_grad_()
    rows = residual({"u": moved})["rows"]
    weight = noise(*rows.shape)
    (gradient,) = torch.autograd.grad(rows, moved, weight)
    forward = (change["rows"] * weight).flatten(1).sum(1)
    torch.testing.assert_close(forward, (gradient * along).flatten(1).sum(1))
    step = 1e-5
    ahead, behind = (residual({"u": f + s * along[0]})["rows"] for s in (step, -step))
    torch.testing.assert_close(change["rows"][0], (ahead - behind) / (2 * step), atol=1e-8, rtol=0)
    torch.func.grad(lambda v: residual({"u": v})["rows"].sum())(f.float())
    single = residual({"u": f.float()})["rows"]  # what was made above is not caught in it
    assert not torch._C._functorch.is_functorch_wrapped_tensor(single)
    assert single.dtype == torch.float32
    assert relative(single.double(), rows.detach()) < 1e-5


def test_rows_say_that_they_touch_everything():
    pde = equation(D(u, t) - laplace(u, S), TIMED, inputs={u.at(t=0): LAW})
    rows = pde.bind().rows["rows"]
    assert (rows.dense, rows.lag, rows.fields) == (True, True, {"u"})
    assert rows.nodes.shape == (4 * 8 * 16, 3)
    with pytest.raises(UsageError, match="touch every node"):
        Jacobian(pde.bind())


def test_operators_read_as_people_write_them():
    text = equation_text(laplace(u, S, 4) - div(grad(u**2, S), S) + inverse_laplace(u, S))
    assert text == "Δ⁴u + Δ⁻¹u - ∇·((∇(u²))_north, (∇(u²))_east) = 0"
    assert rotated_grad(u, [x, y]) == [-D(u, y), D(u, x)]
    assert laplace(3, S) == grad(3, S)[0] == curl([0, 0], S) == 0
    assert div([1, 0], S) != 0, "northward 1 is no constant vector"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: equation(D(u, lon)), "write grad, div, laplace or curl"),
        (lambda: laplace(u, [lat]), r"take \[lat, lon\], not \[lat\]"),
        (lambda: laplace(u, [lon, lat]), r"not \[lon, lat\]"),
        (lambda: inverse_laplace(u, [x, y]), "make the result a field"),
        (lambda: equation(laplace(u, S), Grid(x=Axis(0, 1, 8))), "need a sphere"),
        (lambda: equation(laplace(u, S)).bind(order=4), "leave order=4 out"),
        (lambda: equation(laplace(u, S)).bind(Grid(x=Axis(0, 1, 8))), "its own grid"),
        (lambda: equation(laplace(u, S) - a, fields=[u, a], inputs={a: LAW}).solve({a: noise(1)}),
         "nothing is solved for on a sphere"),
        (lambda: equation(D(u, t) - u, TIMED, time_scheme="centred").bind(), "'crank-nicolson' or"),
        (lambda: equation(D(u, t, 2) - u, TIMED).bind(), "'crank-nicolson' or"),
        (lambda: equation(sympy.gamma(u)).bind(), "no torch counterpart"),
        (lambda: equation(laplace(u, S), inputs={u.at(lat=-math.pi / 2): LAW}), "at a pole"),
        (lambda: LAW.sample(TIMED, 1, seeded()), "on a sphere only"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_in_one_line(make, message):
    with pytest.raises(PiddmError, match=message) as refusal:
        make()
    assert "\n" not in str(refusal.value)


def test_random_fields_have_the_spectrum_of_their_law(basis):
    functions, degree = basis
    law, count = GaussianField(2.0, 3.0, scale=2.0), 4000
    fields = law.sample(BALL, count, seeded())
    weights = torch.from_numpy(BALL.weights()).flatten()
    modes = (fields.flatten(1) * weights) @ functions.flatten(1).T / len(weights)
    for d in (1, 2, 5):
        wanted = (2 * 3.0) ** 2 * (d * (d + 1) + 9.0) ** -2.0
        assert float(modes[:, degree == d].square().mean()) == pytest.approx(wanted, rel=0.05)
    assert float(modes[:, 0].abs().max()) < 1e-12
    # Isotropic: as much variance at the poles as elsewhere.
    variance = fields.square().mean((0, 2))
    assert float(variance.max() / variance.min()) < 1.15
    torch.testing.assert_close(ZeroOnEdge(LAW).sample(BALL, 2, seeded()),
                               LAW.sample(BALL, 2, seeded()))  # fmt: skip


def test_solutions_of_poissons_equation_are_harmonics_over_their_eigenvalues(basis):
    functions, degree = basis
    pde = get_pde("sphere-poisson")
    source = functions[(degree == 3)]
    rows = pde.bind(BALL)({"a": source, "u": -source / 12})
    assert max(float(v.abs().max()) for v in rows.values()) < 1e-11


def test_growth_without_diffusion_is_logistic():
    """Constant states: u^2 / (1 - u^2) grows as exp(2 rho t); Crank-Nicolson is of order 2."""
    pde, errors = get_pde("sphere-allen-cahn"), []
    for count in (9, 17, 33):
        grid = Grid.sphere(4, t=Axis(0, 1, count, time=True))
        whole = next(iter(simulate(_from(pde, 0.1), grid, 1, seeded())))["u"][0]
        times = torch.from_numpy(grid.axes["t"].coordinates())
        ratio = 0.1**2 / (1 - 0.1**2) * torch.exp(2 * 5.0 * times)
        exact = (ratio / (1 + ratio)).sqrt()
        errors.append(float((whole[:, 0, 0] - exact).abs().max()))
        assert float((whole - whole[:, :1, :1]).abs().max()) < 1e-12
    assert 3.5 < errors[1] / errors[2] < 4.5


class Constant(GaussianField):
    """The same value everywhere."""

    def sample(self, grid, count, generator):
        return torch.full((count, *grid.shape), self.scale, dtype=torch.float64)


def _from(pde, start):
    return dataclasses.replace(pde, inputs={k: Constant(2.0, 3.0, start) for k in pde.inputs})


def test_shallow_water_keeps_its_mass_and_rests_at_rest():
    pde = get_pde("shallow-water")
    grid = pde.grid.resized({"t": 4, "lat": 12, "lon": 24})
    made = next(iter(simulate(pde, grid, 2, seeded())))
    weights = torch.from_numpy(grid.without("t").weights())
    mass = (made["phi"] * weights).mean((-2, -1))
    assert float((mass - mass[:, :1]).abs().max()) < 1e-16
    still = next(iter(simulate(_from(pde, 0.0), grid, 1, seeded())))
    assert max(float(v.abs().max()) for v in still.values()) < 1e-18


def test_a_gravity_wave_has_its_frequency():
    """Without rotation, small waves of degree l swing as cos(t sqrt(l(l+1) Phi))."""
    pde = get_pde("shallow-water")
    old = next(p for p in pde.params if p.name == "Omega")
    new = Param("Omega", 0.0)
    still = dataclasses.replace(
        pde,
        params=[new if p == old else p for p in pde.params],
        equations={k: e.xreplace({old: new}) for k, e in pde.equations.items()},
    )
    grid = Grid.sphere(8, t=Axis(0, 2, 65, time=True))
    functions, degree = harmonics_of(grid).basis()
    wave = 1e-8 * functions[degree == 2][:1]

    class Wave(GaussianField):
        def sample(self, grid, count, generator):
            return self.scale * wave

    laws = {k: Wave(2.0, 3.0, float(k.field.name == "phi")) for k in pde.inputs}
    made = next(iter(simulate(dataclasses.replace(still, inputs=laws), grid, 1, seeded())))
    mean = next(p.value for p in pde.params if p.name == "Phi")
    swing = torch.cos((6 * mean) ** 0.5 * torch.from_numpy(grid.axes["t"].coordinates()))
    found = (made["phi"][0] * wave[0]).sum((-2, -1)) / wave.square().sum()
    assert float((found - swing).abs().max()) < 1e-4


def test_verification_tells_a_wrong_operator():
    """A curl of the other sign must not pass, whatever harmonics say of it."""
    pde = equation(curl([a * v for v in rotated_grad(u, S)], S) - div(grad(u * a, S), S) * u,
                   fields=[u, a], inputs={a: LAW})  # fmt: skip
    assert verify(pde, ["spectral_accuracy"]).passed
    with pytest.MonkeyPatch.context() as patch:
        plain = Harmonics.curl
        patch.setattr(Harmonics, "curl", lambda s, v, w: -plain(s, v, w))
        assert not verify(pde, ["spectral_accuracy"]).passed


def test_planes_do_without_torch_harmonics():
    code = (
        "import sys\nfrom piddm.plugins import get_pde\nget_pde('burgers').bind()\n"
        "import piddm.symbolic, piddm.priors\nassert 'torch_harmonics' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["sphere-poisson", "shallow-water"])
def test_pushes_through_the_transposed_map_are_forward_derivatives(name):
    """J w as the derivative of J^T m along w, against forward differentiation of the rows."""
    pde = get_pde(name)
    grid = pde.grid.resized(
        {k: min(a.size, 8 if k != "lon" else 16) for k, a in pde.grid.axes.items()}
    )
    (fields,) = simulate(pde, grid, 2, torch.Generator().manual_seed(0))
    residual = pde.bind(grid)
    rows = residual(fields)
    columns = sum(fields[k][0].numel() for k in residual.field_names)
    count = sum(v[0].numel() for v in rows.values())
    normal = GradientNormal(residual, np.ones(columns), dict.fromkeys(rows, 1.0), np.zeros(count))
    here = normal.at(fields)
    move = torch.randn(2, columns, generator=torch.Generator().manual_seed(1)).double()
    parts = move.split(columns // len(residual.field_names), dim=1)
    moves = {k: p.view_as(fields[k]) for k, p in zip(residual.field_names, parts, strict=True)}
    _, change = residual.tangent(fields, {k: v[None] for k, v in moves.items()})
    expected = normal.flat(change, 2)[0]
    away = float((here.push(move) - expected).norm() / expected.norm())
    assert away < 1e-12
