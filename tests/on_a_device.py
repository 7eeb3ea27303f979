"""What is done on the pretended device, each in a process where nothing was differentiated before.

Torch counts the devices when it first differentiates, and never again.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

import piddm
from piddm.tasks.synthetic import draw_truth, place
from piddm.training.optimisation import Loss, Optimisation
from pretended import NAME, Device, pretended_device
from test_only_solution import both
from tiny import tiny


def distilled(name: str, **changes: Any) -> tuple[piddm.Run, Counter[str]]:
    """Return a tiny run that was made on the device, and where its steps of training wait."""
    torch.set_num_threads(1)
    with pretended_device() as device, counted(device) as found:
        run = piddm.distill(name, "quick", overrides=tiny(changes), progress=False, device=NAME)
    return run, found


@contextmanager
def counted(device: Device) -> Iterator[Counter[str]]:
    """Count where the host waits within steps: in the first things begin, the last tells losses."""
    found, step = Counter[str](), Optimisation._step

    def watched(job: Optimisation, loss: Loss) -> None:
        device.waits.clear()
        step(job, loss)
        if 1 < job.step < job.settings.steps:
            found.update({f"{job.stage}: {place}": n for place, n in device.waits.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimisation, "_step", watched)
        yield found


def made(name: str) -> Counter[str]:
    """Make a tiny run; return where its steps of training wait."""
    return distilled(name, seed=8)[1]


def answered() -> Counter[str]:
    """Make a run, draw and project samples, and answer with solvers that calculate there.

    Return where its steps of training wait.
    """
    run, waited = distilled("darcy-neumann", seed=7)
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
    return waited


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
