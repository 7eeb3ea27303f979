"""A stranger's plugin: one of each kind, none with more than docs/extending.md asks for.

It is a file that piddm loads as any other, and imports nothing but the faces.
"""

import itertools

import numpy as np
import torch
from torch import nn

import piddm
from piddm import PiddmError, hookimpl
from piddm.interfaces import (
    Held,
    Members,
    Method,
    Progress,
    Reader,
    Said,
    Solver,
    Student,
    Teacher,
    regression,
)

PIDDM_API = 1


def image(v):
    return v[:, None, None, None]


class Network(nn.Module):
    """Two convolutions."""

    def __init__(self, channels, image, periodic, widths, depth, fold, mixed, kernel: int = 3):
        super().__init__()
        self.enter = nn.Conv2d(channels + 1, widths[0], kernel, padding=kernel // 2)
        self.leave = nn.Conv2d(widths[0], 2 * channels, kernel, padding=kernel // 2)

    def forward(self, x, t):
        level = image(t).expand(-1, 1, *x.shape[2:])
        return self.leave(torch.tanh(self.enter(torch.cat([x, level], dim=1))))


class Plain(Teacher):
    """Its network predicts the data themselves; steps are DDIM's."""

    def __init__(self, network, packing, schedule, sharpness: float = 1.0):
        super().__init__()
        self.network, self.packing, self.schedule = network, packing, schedule
        self.sharpness = sharpness

    def levels(self, t):
        return image(self.schedule.alpha(t)), image(self.schedule.sigma(t))

    def denoise(self, xt, t):
        return self.network(xt, t)[:, : xt.shape[1]] * self.sharpness

    def velocity(self, xt, t):
        (a, s), (da, ds) = self.levels(t), map(image, self.schedule.rates(t))
        estimate = self.denoise(xt, t)
        return da * estimate + ds * (xt - a * estimate) / s

    def loss(self, x0, generator):
        t = self.schedule.draw(len(x0), generator).to(x0)
        white = torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0.device)
        a, s = self.levels(t)
        return (self.denoise(a * x0 + s * self.packing.colour(white), t) - x0).square().mean()

    def calls(self, steps):
        return steps

    def sample(self, noise, steps):
        x = self.packing.colour(noise)
        for now, then in itertools.pairwise(self.schedule.times(steps).to(x)):
            (a, s), (b, r) = (self.levels(t.expand(len(x))) for t in (now, then))
            estimate = self.denoise(x, now.expand(len(x)))
            x = b * estimate + r * (x - a * estimate) / s
            yield x


class Linear(Student):
    """A convolution of the coloured noise, which calls no network of the teacher's, three times."""

    calls = 3

    def __init__(self, teacher):
        super().__init__()
        self.packing = teacher.packing
        self.mix = nn.Conv2d(self.packing.channels, self.packing.channels, 1)

    def forward(self, noise):
        x = self.packing.colour(noise)
        for _ in range(self.calls):
            x = x + 0.1 * self.mix(x)
        return x

    def objective(self, context):
        return regression(context)


class Shrunk(Method):
    """The coloured noise, shrunk by a factor that is learnt."""

    def __init__(self, context, *, start: float = 0.9):
        self.context = context
        self.trained = nn.Module()
        self.trained.factor = nn.Parameter(torch.tensor(start, device=context.device))

    def loss(self, module, step):
        x = self.context.packing.colour(
            torch.ones(2, *self.context.shape, device=self.context.device)
        )
        return {"loss": (module.factor * x).square().mean()}

    def sample(self, noise, generator):
        return self.trained.factor * self.context.packing.colour(noise)


class Best(Solver):
    """Of many samples of the student those that come nearest to the observations."""

    def __init__(self, run, *, pool: int = 4):
        self.run, self.pool = run, pool

    def solve(self, task, count, generator):
        packing = self.run.packing
        white = torch.randn(
            self.pool * count, packing.channels, *packing.image, generator=generator
        )
        with torch.no_grad():
            fields = packing.unpack(self.run.student(white.to(packing.scale)))
        yield Progress("best", 1, 1, {})
        misfit = sum(
            (fields[k][:, *index] - v.to(fields[k])).square().sum(1)
            for k, (index, v) in self.nearest(task).items()
        )
        chosen = misfit.view(self.pool, count).argmin(0) * count + torch.arange(count)
        return Members(
            {k: v[chosen] for k, v in fields.items()}, self.pool * self.run.student.calls
        )

    def nearest(self, task):
        """Field name to the nodes nearest to its sensors, and what they saw."""
        seen, grid = task.observations, self.run.residual.grid
        found = {}
        for name, values in seen.values.items():
            nodes = [
                (seen.points[name][:, d, None] - torch.from_numpy(axis.coordinates()))
                .abs()
                .argmin(1)
                for d, axis in enumerate(grid.axes.values())
            ]
            found[name] = nodes, values
        return found


@hookimpl
def piddm_register_backbones(register):
    register("two-layers", "two convolutions", Network)


@hookimpl
def piddm_register_teachers(register):
    register("plain", "its network predicts the data", Plain)


@hookimpl
def piddm_register_students(register):
    register("linear", "a convolution of the coloured noise", Linear)


@hookimpl
def piddm_register_methods(register):
    register("shrunk", "coloured noise, shrunk", Shrunk)


@hookimpl
def piddm_register_solvers(register):
    register("best", "the nearest of many samples", Best)


def shift(comparison):
    """How far the mean of the samples is from that of the data, in deviations."""
    return (comparison.samples.mean() - comparison.data.mean()).abs()


@hookimpl
def piddm_register_metrics(register):
    register("shift", "shift of the mean", shift)


class Raster(Reader):
    """A line ``RASTER count rows columns``, and float32 numbers behind it."""

    def opens(self, path, first):
        return first.startswith(b"RASTER ")

    def arrays(self, path):
        head, _, body = path.read_bytes().partition(b"\n")
        try:
            shape = tuple(int(word) for word in head.split()[1:])
            values = np.frombuffer(body, "<f4").reshape(shape)
        except ValueError as error:
            raise PiddmError(f"{path} is a damaged raster; make it again") from error
        return Held(path, {"height": values})

    def says(self, arrays):
        return Said("raster", {"height": ("sample", "x", "y")}, roles={"height": "solution"})


@hookimpl
def piddm_register_readers(register):
    register("raster", "heights on a raster", Raster)


assert piddm
