"""Every equation there is: a quick look at each, all checks where there is time, closed forms."""

import importlib.util
import json
import math
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

import piddm
from piddm import Axis, Grid, Integral, UsageError
from piddm.cli.app import app
from piddm.data.simulate import simulate
from piddm.figures import gallery, save
from piddm.plugins import get_pde
from piddm.priors import (
    GaussianField,
    KarhunenLoeve,
    LogNormal,
    Sines,
    Uniform,
    UnitRange,
    ZeroOnEdge,
)
from piddm.residuals.norms import mean_squares, term_scale
from piddm.symbolic import D, Field, Param, t, y
from piddm.symbolic.operators import Slice
from piddm.testing import conforms

ROOT = Path(__file__).parents[1]
NAMES = [entry.name for entry in piddm.list_pdes() if entry.plugin == "pdes"]
FILES = sorted((ROOT / "plugins" / "piddm_pdes").glob("[!_]*.py"))
QUICK = ["rows", "floor", "truth_against_zero", "gradient", "batch_independence"]
HEAVY = ["shallow-water", "sphere-allen-cahn"]
"""Those whose full verification takes minutes; the part that is quick is always run."""
LONGEST = 60
PAGES, LARGEST_FIGURE = ROOT / "docs" / "equations", 120_000
LINE = Grid(x=Axis(0, 1, 64, periodic=True))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def data(name, size, count=4):
    pde = get_pde(name)
    grid = pde.grid.resized(size)
    return pde, grid, next(iter(simulate(pde, grid, count, seeded())))


def nodes(grid, name):
    return torch.from_numpy(grid.axes[name].coordinates())


@pytest.mark.parametrize("name", HEAVY)
def test_an_equation_is_sound(name):
    conforms(get_pde(name), QUICK, size=8)


def marked(name):
    return pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
def test_an_equation_passes_every_check(name):
    conforms(get_pde(name))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_equation_is_short(path):
    assert len(path.read_text().splitlines()) <= LONGEST


def test_every_file_is_registered_and_cites_a_source():
    assert {path.stem for path in FILES} == {name.replace("-", "_") for name in NAMES}
    assert all("arXiv" in get_pde(name).source for name in NAMES)


@pytest.fixture(scope="module")
def catalogue():
    """The script that writes the pages."""
    spec = importlib.util.spec_from_file_location("catalogue", ROOT / "benchmarks/catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def measured():
    """What was measured last: the data of the pages."""
    return json.loads((PAGES.with_suffix(".json")).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_the_specification_says(catalogue, measured, name):
    known = {result["name"]: result for result in measured["equations"]}
    assert name in known, f"run benchmarks/catalogue.py --pdes {name}"
    written = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    found = catalogue.page(get_pde(name), known[name])
    assert written == found, f"run benchmarks/catalogue.py --pages-only --pdes {name}"
    figure = (PAGES / f"{name}.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    assert len(figure) <= LARGEST_FIGURE


def test_the_index_is_of_the_pages_that_there_are(catalogue, measured):
    assert [result["name"] for result in measured["equations"]] == sorted(NAMES)
    assert {path.stem for path in PAGES.iterdir()} == set(NAMES)
    text = PAGES.with_suffix(".md").read_text(encoding="utf-8")
    assert text == catalogue.index(measured), "run benchmarks/catalogue.py --pages-only"
    links = re.findall(r"\]\((equations/[^)]+)\)", text)
    assert links == [f"equations/{name}.md" for name in sorted(NAMES)]


def test_a_page_that_is_stale_is_seen(catalogue, measured):
    """Each change of a specification changes its page."""
    pde, (result,) = get_pde("stokes"), [r for r in measured["equations"] if r["name"] == "stokes"]
    u, d, omega = pde.fields[0], *pde.params[:2]
    other = Param("omega", 5.0, doc=omega.doc, free=True)
    grid = Grid(**pde.grid.axes | {"y": Axis(0, 2 * math.pi, 100)})
    walls = {k: v for k, v in pde.conditions.items() if k != "far"}
    changes = [
        {"summary": "another"}, {"source": "another"}, {"order": 4}, {"order": {"t": 2, "y": 4}},
        {"time_scheme": "centred"}, {"simulate": print}, {"conditions": walls},
        {"equations": {"momentum": D(u, t) - d * D(u, y, 2) / omega}},
        {"equations": {"another": pde.equations["momentum"]}},
        {"integrals": {"mean": Integral(u)}}, {"fields": [Field("u", unit="m/s")]},
        {"inputs": {d: Uniform(0.1, 0.2)}},
    ]  # fmt: skip
    pages = [catalogue.page(pde, result)]
    pages += [catalogue.page(replace(pde, **change), result) for change in changes]
    swapped = {k: v.subs(omega, other) for k, v in pde.equations.items()}
    laws = {d: pde.inputs[d], other: pde.inputs[omega]}
    params = [d, other, *pde.params[2:]]
    moved = replace(pde, params=params, equations=swapped, conditions={}, grid=grid, inputs=laws)
    pages.append(catalogue.page(moved, result))
    assert len(set(pages)) == len(pages)
    assert "$[0, 2 \\pi]$" in pages[-1]
    assert "| 5 | frequency of the wall |" in pages[-1]


def test_the_commands_of_a_page_are_commands():
    program = typer.main.get_command(app)
    (block,) = re.findall(r"```sh\n(.*?)```", (PAGES / "heat.md").read_text(), re.DOTALL)
    for line in block.splitlines():
        assert "heat" in parsed(program, line).values()
    with pytest.raises(Exception, match="no-such-option"):
        parsed(program, "piddm verify --no-such-option")


def parsed(program, line):
    """What a command is handed, without its being run."""
    word, *words = shlex.split(line)
    assert word == "piddm"
    context = program.make_context("piddm", words)
    name, command, rest = program.resolve_command(context, words)
    return command.make_context(name, rest, parent=context).params


@pytest.mark.parametrize(
    ("name", "published", "count"),
    [("poisson", 0.2919, 400), ("burgers", 0.2737, 4000), ("navier-stokes", 0.2621, 400)],
)
def test_inputs_vary_as_the_published_ones(name, published, count):
    pde = get_pde(name)
    ((given, prior),) = pde.inputs.items()
    grid = pde.grid.resized(128)
    on = grid.without(given.axis) if isinstance(given, Slice) else grid
    assert float(prior.sample(on, count, seeded()).std()) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("name", ["navier-stokes", "kolmogorov"])
def test_data_of_vortices_are_at_round_off(name):
    pde, grid, fields = data(name, 16)
    residual = pde.bind(grid)
    scale = {k: v or 1.0 for k, v in term_scale(residual, fields).items()}
    found = mean_squares(residual, fields, scale)
    zero = mean_squares(residual, {k: 0 * v for k, v in fields.items()}, scale)
    assert max(map(float, found.values())) < 1e-24
    assert float(zero["transport"]) > 1e8 * float(found["transport"])
    assert fields["psi"].shape == (4, 16, 16, 16)


@pytest.mark.parametrize("name", ["heat", "reaction-diffusion", "stokes", "darcy-neumann"])
def test_what_networks_do_not_see_is_found_from_what_they_do(name):
    pde, grid, fields = data(name, 24, 20)
    found = pde.bind(grid).fit({k: fields[k] for k in pde.field_names})
    for k in pde.free_params:
        torch.testing.assert_close(found[k], fields[k], rtol=1e-6, atol=1e-6)


def test_a_step_too_long_for_the_flow_is_refused():
    pde = get_pde("kolmogorov")
    grid = Grid(**pde.grid.resized(16).axes | {"t": Axis(0, 40, 3, time=True)})
    with pytest.raises(piddm.PiddmError, match="a step of 20 is too long"):
        next(iter(simulate(pde, grid, 1, seeded())))


def test_solutions_of_known_form():
    """Errors of second order: a quarter at half the spacing."""
    errors = {"heat": [], "stokes": [], "advection": []}
    for size in (49, 97):
        _, grid, f = data("heat", size)
        start = f["u"][:, :1]
        decay = torch.exp(-f["nu"][:, None, None] * nodes(grid, "t")[:, None])
        errors["heat"].append(rms(f["u"] - start * decay))
        _, grid, f = data("stokes", size)
        ky = nodes(grid, "y") / f["d"][:, None, None]
        angle = ky - f["omega"][:, None, None] * nodes(grid, "t")[:, None]
        errors["stokes"].append(rms(f["u"] - 2 * torch.exp(-ky) * torch.cos(angle)))
    pde = get_pde("advection")
    for size in (64, 128):
        grid = pde.grid.resized({"t": size + 1, "x": size})
        wave = torch.sin(2 * math.pi * nodes(grid, "x"))
        u = pde.fields[0]
        solved = pde.solve({u.at(t=0): wave[None]}, grid)["u"][0]
        moved = nodes(grid, "x") - pde.params[0].value * nodes(grid, "t")[:, None]
        errors["advection"].append(rms(solved - torch.sin(2 * math.pi * moved)))
    for name, (coarse, fine) in errors.items():
        assert 3.5 < coarse / fine < 4.6, name


def rms(v):
    return float(v.square().mean().sqrt())


def test_what_a_closed_box_lacks_of_balance_is_small():
    sizes = [float(data("darcy-neumann", n)[2]["c"].abs().max()) for n in (17, 33)]
    assert sizes[1] < 0.02, "of sources of 10"
    _, _, fields = data("darcy-neumann", 33)
    assert float(fields["p"][:, 0, 0].min()) > 0 > float(fields["p"][:, -1, -1].max())


def test_sines():
    values = Sines(3, (2, 5), (1.0, 2.0)).sample(LINE, 200, seeded())
    power = np.abs(np.fft.rfft(values.numpy())).mean(0)
    assert float(power[2:6].min()) > 1
    assert max(power[:2].max(), power[6:].max()) < 1e-10
    one = Sines(1, (1, 1), (1.0, 1.0), (0.0, 0.5)).sample(LINE, 500, seeded())
    assert float(one[:, 0].min()) >= 0, "phases up to half a turn"
    with pytest.raises(UsageError, match="along one axis, not 2"):
        Sines().sample(Grid(x=LINE.axes["x"], y=LINE.axes["x"]), 1, seeded())


def test_transformed_fields():
    square = Grid(x=Axis(0, 1, 9), y=Axis(0, 1, 9, periodic=True))
    plain = GaussianField(2.0, 3.0)
    field = plain.sample(square, 5, seeded())
    torch.testing.assert_close(LogNormal(plain).sample(square, 5, seeded()).log(), field)
    ranged = UnitRange(plain).sample(square, 5, seeded())
    assert ranged.amin((1, 2)).abs().max() == 0
    assert ranged.amax((1, 2)).sub(1).abs().max() < 1e-15
    edged = ZeroOnEdge(plain).sample(square, 5, seeded())
    assert edged[:, [0, -1]].abs().max() == 0
    torch.testing.assert_close(edged[:, 1:-1], field[:, 1:-1])


def test_karhunen_loeve_modes_are_those_of_the_kernel():
    """The covariance of 20 modes against a dense decomposition, in the trapezoidal rule's norm."""
    grid = Grid(x=Axis(0, 1, 9), y=Axis(0, 2, 11))
    at = np.stack(np.meshgrid(*(a.coordinates() for a in grid.axes.values()), indexing="ij"), -1)
    at = at.reshape(-1, 2)
    weight = np.prod([np.where((c == 0) | (c == c.max()), 0.5, 1.0) for c in at.T], axis=0)
    root = np.sqrt(weight * np.prod(grid.spacing))
    kernel = np.exp(-np.linalg.norm(at[:, None] - at[None], axis=-1) / 0.3)
    values, vectors = np.linalg.eigh(root[:, None] * kernel * root)
    wanted = (vectors[:, -20:] * values[-20:]) @ vectors[:, -20:].T / np.outer(root, root)
    found = KarhunenLoeve(0.3, 20).functions(grid)
    np.testing.assert_allclose(found.T @ found, wanted, atol=1e-10)
    few = KarhunenLoeve(0.1, 64).sample(get_pde("darcy-neumann").grid, 400, seeded())
    assert 0.6 < float(few.std()) < 0.9, "the modes that are cut off hold the rest of the variance"
    with pytest.raises(UsageError, match="64 modes"):
        KarhunenLoeve(0.1, 64).sample(LINE, 1, seeded())


@pytest.mark.parametrize(
    ("grid", "fields", "panels"),
    [
        (Grid(x=Axis(0, 1, 9)), 1, 3),
        (Grid(t=Axis(0, 1, 5, time=True), x=Axis(0, 1, 9)), 2, 6),
        (Grid(t=Axis(0, 1, 5, time=True), x=Axis(0, 1, 9), y=Axis(0, 1, 7)), 2, 16),
        (Grid.sphere(6), 1, 3),
        (Grid.sphere(6, t=Axis(0, 1, 5, time=True)), 2, 16),
    ],
)
def test_a_gallery_has_every_field_of_a_few_samples(grid, fields, panels, tmp_path):
    """Three samples; of fields of three axes two samples at four times."""
    named = [Field(f"f{k}", doc="something long enough to be folded") for k in range(fields)]
    data = {f.name: torch.randn(3, *grid.shape, generator=seeded(k)) for k, f in enumerate(named)}
    figure = gallery(named, data | {"rate": torch.tensor([0.5, 1.5, 2.5])}, grid)
    save(figure, tmp_path / "gallery.png")
    line = len(grid.axes) == 1
    shown = [
        a
        for a in figure.axes
        if (a.name == "mollweide" if grid.spherical else a.images or (line and a.get_title()))
    ]
    assert len(shown) == panels
    assert figure.axes[0].get_title() == ("sample 1, t = 0" if panels == 16 else "rate = 0.5")
    if line:
        curve = np.concatenate([s[:1] for s in shown[0].collections[0].get_segments()])
        np.testing.assert_allclose(curve[:, 1], data["f0"][0, :-1])
    elif not grid.spherical:
        first = data["f0"][0, 0] if len(grid.shape) == 3 else data["f0"][0]
        np.testing.assert_array_equal(
            shown[0].images[0].get_array(), np.atleast_2d(first.numpy().T)
        )
