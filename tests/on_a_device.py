"""What is done on the pretended device, each in a process where nothing was differentiated before.

Torch counts the devices when it first differentiates, and never again.
"""

from collections import Counter
from typing import Any

import torch

import piddm
from piddm.tasks.synthetic import draw_truth, place
from pretended import NAME, Device, pretended_device
from test_only_solution import both
from tiny import tiny


def distilled(name: str, **changes: Any) -> tuple[piddm.Run, Device]:
    """Return a tiny run that was made on the device, and what the device saw."""
    torch.set_num_threads(1)
    with pretended_device() as device:
        run = piddm.distill(name, "quick", overrides=tiny(changes), progress=False, device=NAME)
    return run, device


def made(name: str) -> None:
    """Make a tiny run."""
    distilled(name, seed=8)


def answered() -> None:
    """Make a run, draw and project samples, and answer with solvers that calculate there."""
    run, _ = distilled("darcy-neumann", seed=7)
    assert all(v.device.type == NAME for v in run.student.state_dict().values())
    truth = draw_truth(run.pde, run.residual.grid, 1)
    seen = place(truth, run.pde, run.packing.names[-1], 0.1, 0.05)
    with pretended_device():
        samples = run.sample(2)
        assert all(v.device.type == NAME for v in samples.values())
        assert run.pde_error(run.project(samples)) < 1e-20
        for solver in ("latent", "guided", "gaussian", "hybrid"):
            settings = {"steps": 2} if solver == "guided" else {}
            found = run.solve("reconstruct", seen, solver, 2, settings=settings, progress=False)
            assert all(torch.isfinite(v).all() for v in found.mean.values())


def waits(steps: int) -> Counter[str]:
    """Return where the host waited in a run of so many steps, the reading of losses left out."""
    changes = {"teacher.steps": steps, "student.steps": steps, "seed": 9}
    found = distilled("burgers", **changes)[1].waits
    return Counter({place: n for place, n in found.items() if "optimisation" not in place})


def solved() -> None:
    """Solve an equation for inputs on the device: the same to the bit, and there."""
    pde, axis = piddm.get_pde("darcy"), piddm.Axis(0, 1, 12)
    truth = draw_truth(pde, piddm.Grid(x=axis, y=axis), 0)
    with pretended_device():
        (a,) = pde.inputs
        found = pde.solve({a: truth.fields[str(a)].to(NAME)}, truth.grid)
        assert {v.device.type for v in found.values()} == {NAME}
        here = pde.solve({a: truth.fields[str(a)]}, truth.grid)
        assert all(torch.equal(found[k].cpu(), here[k]) for k in here)


def nearest() -> Counter[str]:
    """Solve for the only nearest solution there, as here; return where a second one waits."""
    _, fields, _, solved, _ = both(16)
    given = {k: v.float() for k, v in fields.items()}
    wanted = solved.correction(given)["u"]
    with pretended_device() as device:
        there = {k: v.to(NAME) for k, v in given.items()}
        solved.correction(there)  # makes the inverse
        device.waits.clear()
        found = solved.correction(there)["u"]
        waited = Counter(device.waits)
    assert found.device.type == NAME
    away = (found.cpu() - wanted).norm() / wanted.norm()
    assert float(away) < 0.02, float(away)
    return waited
