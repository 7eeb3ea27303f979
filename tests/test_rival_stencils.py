"""The example that compares published residual stencils on exact data."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "examples" / "rival_stencils.py"


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("rival_stencils", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.main(size=32, count=2)


def row(tables, equation, start):
    ((_, found),) = [item for item in tables[equation].items() if item[0].startswith(start)]
    return found


def test_piddm_tells_every_wrong_field_from_the_truth(tables):
    for equation in tables:
        own = row(tables, equation, "piddm")
        assert own["truth"] < 1e-10, equation
        assert own["wrong / true"] > 1e6, equation


def test_no_rival_comes_near(tables):
    for equation, table in tables.items():
        for stencil, found in table.items():
            assert stencil.startswith("piddm") or found["wrong / true"] < 100, (equation, stencil)


@pytest.mark.parametrize("medium", ["two phases", "smooth medium"])
def test_darcy_without_spacing_sees_only_the_source(tables, medium):
    found = row(tables, f"Darcy, {medium}", "DiffusionPDE")
    assert found["u = 0"] == 1.0
    for field in ("truth", "10 % too large", "10 % noise"):
        assert found[field] == pytest.approx(1.0, rel=0.02)


def test_wide_darcy_fails_across_jumps_alone(tables):
    jumps = row(tables, "Darcy, two phases", "FunDPS")["truth"]
    smooth = row(tables, "Darcy, smooth medium", "FunDPS")["truth"]
    assert jumps > 0.3
    assert smooth < 0.1


def test_edges_and_wrapping_make_it_worse(tables):
    for equation in ("Darcy, two phases", "Darcy, smooth medium"):
        inside = row(tables, equation, "FunDPS")["truth"]
        assert row(tables, equation, "PIDM")["truth"] > inside
        wrapped = row(tables, equation, "PhysicsNeMo")
        assert wrapped["truth"] > wrapped["u = 0"] == pytest.approx(1.0)


def test_burgers_with_unit_spacing_does_not_see_viscosity(tables):
    padded = row(tables, "Burgers", "DiffusionPDE")
    assert padded["viscosity x 10"] == pytest.approx(padded["truth"], rel=0.01)
    inner = row(tables, "Burgers", "  its inner rows")
    assert inner["viscosity x 10"] < inner["truth"], "the wrong viscosity even looks better"
    spaced = row(tables, "Burgers", "  with the right spacing")
    assert spaced["truth"] < 0.1
    assert spaced["viscosity x 10"] > 50 * spaced["truth"]


def test_slopes_of_vorticity_are_not_an_equation(tables):
    found = row(tables, "Navier-Stokes", "DiffusionPDE")
    assert found["phases shuffled"] == pytest.approx(found["truth"], rel=1e-9)
    assert found["w = 0"] == 0.0
    assert row(tables, "Navier-Stokes", "piddm")["phases shuffled"] > 0.1
