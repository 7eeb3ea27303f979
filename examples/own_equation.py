"""From an equation on paper to a one-step generator: Allen-Cahn, in a file of its own.

python examples/own_equation.py            # about two minutes on two cores
"""

import piddm
from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x

# u_t = nu u_xx + rho (u - u^3): a mixture that separates, on a circle.
u = Field("u", doc="concentration")
nu = Param("nu", 0.005, doc="diffusivity")
rho = Param("rho", 2.0, doc="rate of separation")

ALLEN_CAHN = PDE(
    name="allen-cahn",
    summary="1-D Allen-Cahn on a periodic interval, as a space-time field",
    grid=Grid(t=Axis(0, 1, 32, time=True), x=Axis(0, 1, 32, periodic=True)),
    fields=[u],
    params=[nu, rho],
    equations={"balance": D(u, t) - nu * D(u, x, 2) - rho * (u - u**3)},
    inputs={u.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
)

if __name__ == "__main__":
    # The residual, on the solver's own data: round-off.
    data = piddm.make_dataset(ALLEN_CAHN, 64)
    print("floor", data.floor)

    # Data, teacher, pairs, student, scores and a report, in one call.
    run = piddm.distill(ALLEN_CAHN, preset="quick")
    for name, scores in run.metrics.items():
        print(
            f"{name:<8} PDE error {scores.pde_error_normalised:.2e}, "
            f"energy distance {scores.energy_distance:.2e}"
        )

    # Samples, one network call each, and the same after ten steps of refinement on their noise.
    for steps in (0, 10):
        fields = run.sample(16, seed=1, refine=steps)
        print(f"{steps:>2} steps of refinement: PDE error {run.pde_error(fields):.2e}")
    print("report", run.path / "report.html")
