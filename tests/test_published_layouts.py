"""Every published layout: its file is mapped with nothing said, and its known residual printed."""

import numpy as np
import pytest

import piddm
import published_inverse as inverse
import published_others as others
import published_pairs as pairs
import published_pdebench as pdebench
import published_well as well
from piddm.runs.reading import samples_of

TABLE = {
    "PDEBench advection": pdebench.advection,
    "PDEBench Burgers": pdebench.burgers,
    "PDEBench Burgers, nu in the name": pdebench.burgers_by_name,
    "PDEBench reaction-diffusion": pdebench.reaction,
    "PDEBench CFD 1-D": pdebench.flow_1d,
    "PDEBench CFD 2-D": pdebench.flow_2d,
    "PDEBench CFD 3-D": pdebench.flow_3d,
    "PDEBench Darcy": pdebench.darcy,
    "PDEBench 2-D diffusion-reaction": pdebench.reaction_2d,
    "PDEBench diffusion-sorption": pdebench.sorption,
    "PDEBench shallow water": pdebench.shallow_water,
    "PDEBench incompressible": pdebench.incompressible,
    "The Well, shear flow": well.shear,
    "The Well, convection": well.convection,
    "The Well, Gray and Scott": well.gray_scott,
    "The Well, rotating sphere": well.planet,
    "DiffusionPDE Poisson": others.poisson,
    "DiffusionPDE Helmholtz": others.helmholtz,
    "DiffusionPDE Darcy": others.darcy,
    "DiffusionPDE Burgers": others.diffusion_burgers,
    "FNO Darcy": others.fno_darcy,
    "FNO Navier-Stokes": others.fno_flow,
    "PINO Burgers": others.pino_burgers,
    "PINO Kolmogorov": others.pino_kolmogorov,
    "PINO Kolmogorov, transposed": others.pino_kolmogorov_transposed,
    "neuraloperator Darcy": others.bare_contrast,
    "APEBench": others.apebench,
    "PINN suites, Burgers": others.suite_burgers,
    "PINN suites, Allen-Cahn": others.suite_allen_cahn,
    "PINN suites, KdV": others.suite_kdv,
    "PINN suites, reaction": others.suite_reaction,
    "PDEInvBench reaction-diffusion": inverse.reaction,
    "PDEInvBench Navier-Stokes": inverse.flow,
    "PDEInvBench turbulence": inverse.turbulence,
    "PDEInvBench KdV": inverse.kdv,
    "PDEInvBench Darcy": inverse.darcy,
    "CF netCDF": others.climate,
    "FNO Burgers": pairs.burgers,
    "DiffusionPDE Navier-Stokes": pairs.flow,
    "neuraloperator Navier-Stokes": pairs.torch_flow,
}

HEAVY = {
    "PDEBench CFD 2-D", "PDEBench CFD 3-D", "PDEBench incompressible", "The Well, shear flow",
    "PINO Kolmogorov, transposed", "PDEInvBench reaction-diffusion", "The Well, Gray and Scott",
    "DiffusionPDE Navier-Stokes", "neuraloperator Navier-Stokes", "FNO Burgers",
}  # fmt: skip
"""Those of many nodes or many choices, whose layouts others of the table have nearly too."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in TABLE]
)
def test_a_published_file_needs_no_map_and_its_known_residual_is_printed(tmp_path, name):
    if name == "CF netCDF":
        pytest.importorskip("xarray")
    known = TABLE[name](tmp_path)
    samples, found = samples_of(known.path, known.pde)
    fields = found.map.fields
    for field, order in known.orders.items():
        assert " ".join(fields[field][0].order) == order
        assert fields[field][0].channel == known.channels.get(field, 0)
        assert fields[field][0].factor == pytest.approx(known.factors.get(field, 1.0))
    assert {k: fields[k][0].key for k in known.keys} == known.keys
    for axis, (nodes, ends, periodic) in known.axes.items():
        own = samples.grid.axes[axis]
        np.testing.assert_allclose(own.coordinates(), nodes, atol=2e-5 * (ends[1] - ends[0]))
        assert own.periodic == periodic
        away = 2e-5 * (ends[1] - ends[0])
        if periodic:  # the seam may be anywhere
            assert own.upper - own.lower == pytest.approx(ends[1] - ends[0], abs=away)
        else:
            assert own.ends == pytest.approx(ends, abs=away)
    for param, value in known.params.items():
        assert samples.params[param] == pytest.approx(value, rel=1e-4)
    report = piddm.check(known.path, known.pde, replay=3 if known.distance else 0, progress=False)
    for row, size in known.error.items():
        # The order of the smallest error: what stays of it comes from the data.
        printed = report.errors.rows[row].error[report.errors.best]
        print(f"{name}, {row}: known {size:.2e}, printed {printed:.2e}")
        assert size / 2 <= printed <= 2 * size
    for field, size in known.distance.items():
        printed = report.replay.distance[field]
        print(f"{name}, {field}, solved again: known {size:.2e}, printed {printed:.2e}")
        assert size / 2 <= printed <= 2 * size
