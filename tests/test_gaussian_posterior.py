"""Members of the Gaussian solver have the posterior that is known in closed form."""

import math
from types import SimpleNamespace

import pytest
import torch

from piddm import Axis, Grid
from piddm.data.packing import Packing
from piddm.solvers.gaussian import GaussianSolver
from piddm.tasks.observations import Observations
from piddm.tasks.sensors import Sensors


@pytest.mark.parametrize("between", [False, True], ids=["nodes", "between"])
def test_gaussian_members_have_the_closed_form_posterior(between):
    """Principal components and product modes that do not commute, so that S is not symmetric."""
    grid, draw = Grid(x=Axis(0, 1, 4), y=Axis(0, 1, 5, periodic=True)), torch.Generator()
    root = torch.randn(40, 40, generator=draw.manual_seed(0)).double() / 40**0.5
    data = 3 + torch.randn(400, 40, generator=draw.manual_seed(1)).double() @ root
    packing = Packing(grid, ("a", "u"), 3)
    data = data * torch.tensor([1.0, 20.0]).repeat_interleave(20)
    packing.fit({"a": data[:, :20].view(-1, 4, 5), "u": data[:, 20:].view(-1, 4, 5)})
    with torch.no_grad():  # data of full rank would have no components
        packing.components.copy_(torch.linalg.qr(torch.randn(40, 3, generator=draw))[0].mT)
        packing.strengths.copy_(torch.tensor([3.0, 2.0, 1.5]))
        uneven = torch.linspace(0.1, 2.0, 40)[torch.randperm(40, generator=draw)]
        packing.spectrum.copy_(uneven.view(2, 4, 5))
    pde = SimpleNamespace(field_names=("a", "u"))
    run = SimpleNamespace(packing=packing, pde=pde)
    points = torch.tensor([[0.1, 0.3], [0.5, 0.9], [0.9, 0.5]]).double()
    if not between:
        points = (points * torch.tensor([3.0, 5.0])).round() / torch.tensor([3.0, 5.0])
    seen = Observations.at_points(grid, {"a": points[:2], "u": points}, {
        "a": torch.tensor([5.0, 2.0]), "u": torch.tensor([10.0, 60.0, 90.0]),
    }, {"a": torch.tensor([0.1, 0.2]), "u": torch.tensor([4.0, 1.0, 2.0])})  # fmt: skip
    task, count = SimpleNamespace(observations=seen, interpolation="linear"), 4000
    steps = GaussianSolver(run).solve(task, count, torch.Generator().manual_seed(4))
    next(steps)
    with pytest.raises(StopIteration) as end:
        next(steps)
    members = torch.cat([end.value.value.fields[k].flatten(1) for k in ("a", "u")], 1).double()

    eye = torch.eye(40).view(40, 2, 4, 5)

    def physical(x):
        return torch.cat([v.flatten(1) for v in packing.unpack(x).values()], 1).double()

    mean = physical(torch.zeros(1, 2, 4, 5))[0]
    colour = (physical(packing.colour(eye)) - mean).mT  # S, in the fields' units
    whole = torch.eye(40).double()
    h = Sensors(seen, ("a", "u"))({"a": whole[:, :20].view(-1, 4, 5),
                                   "u": whole[:, 20:].view(-1, 4, 5)}).mT  # fmt: skip
    scaled = colour / packing.scale.double().flatten().repeat_interleave(20)[:, None]
    assert float((scaled - scaled.mT).abs().max()) > 0.1
    prior, sensors = colour @ colour.mT, Sensors(seen, ("a", "u"))
    gain = prior @ h.mT @ torch.linalg.inv(h @ prior @ h.mT + sensors.sigma.square().diag())
    wanted = mean + gain @ (sensors.values - h @ mean)
    covariance = prior - gain @ h @ prior
    deviation = covariance.diagonal().clamp_min(1e-12).sqrt()
    away = (members.mean(0) - wanted) / deviation
    assert float(away.abs().max()) < 5 / math.sqrt(count)
    difference = (torch.cov(members.mT) - covariance) / deviation / deviation[:, None]
    assert float(difference.abs().max()) < 5 * math.sqrt(2 / count)
    assert float(deviation.square().sum()) < 0.97 * float(prior.trace())  # the data tell
