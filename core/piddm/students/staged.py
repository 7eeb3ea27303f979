r"""A student in two stages: draw the inputs, then solve for the rest.

.. math:: d(\xi) = G(a), \qquad a = M\,(S\xi + F(S\xi, 1)).

M keeps what the equation takes as inputs: whole fields, or the slice of a field at an end of an
axis. The first network F is a one-step student's (:mod:`piddm.students.one_step`), trained on whole
states, whose inputs alone are used: what a solution shows of its inputs is theirs to learn, too.
The second is an operator network, which maps inputs to the state that they determine,

.. math:: G(a) = La + m + r\odot N(Ea).

L is the best linear prediction (:mod:`piddm.students.linear_prediction`) where that is a good one,
of a linear equation, and zero else. E extends the inputs: a slice along its whole axis, a field
where it is, zero elsewhere. m and r are the mean and the standard deviation of what data have
beyond the prediction, node by node, along periodic axes alike
(:func:`piddm.data.packing.symmetric`); on walls r vanishes. A whole field is kept to the bit. A
slice is drawn anew: an error beside it would else be a step, which only a Newton step takes away.

The solution of a well-posed problem is a function of its inputs. A student that regresses to its
pairs averages over whatever it cannot tell from the noise, and so blurs the solution with the
inputs; G has nothing to average over. It is trained by regression to data, inputs against solution
(neural operators: Li et al., arXiv 2010.08895), which takes neither teacher nor noise, in a norm
that sees edges: the relative error of the state, and of its differences. N is shown the values
themselves, not what is beyond a mean over data: an equation knows no such mean, and its nonlinear
terms do not commute with one. The first stage has the pairs' regression and the energy
score of Eq. 8. The physics of samples moves G, unless a Newton step ends it
(:mod:`piddm.students.polish`), which is the better physics.

Where inputs are Gaussian (:mod:`piddm.students.gaussian_inputs`) there is nothing to learn for F,
which would take in the teacher's errors only: the first stage then draws from their law
(:mod:`piddm.students.input_law`), without a network. Else the mean and the
spectrum of what F draws are set to those of the data in the end (:mod:`piddm.students.moments`).

Where an input is a param, which a state has no channel for, or where there is none, the solution is
no function of known inputs. There is then no second stage, and this is the one-step student.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor, nn

from piddm.config import Config, NetworkConfig
from piddm.data.correcting import goes_by_time
from piddm.data.packing import symmetric
from piddm.equation import PDE
from piddm.metrics.energy import energy_score
from piddm.students.extension import Extension
from piddm.students.flow_student import FlowStudent
from piddm.students.gaussian_inputs import is_gaussian
from piddm.students.input_law import InputLaw
from piddm.students.linear_prediction import LinearPrediction
from piddm.students.moments import Moments
from piddm.students.polish import Polish
from piddm.symbolic.operators import Param
from piddm.teachers.backbone import build_backbone
from piddm.teachers.teacher import Teacher
from piddm.tools import memory, ranks
from piddm.tools.devices import sent
from piddm.tools.randomness import generator, white
from piddm.tools.remembered import Remembered
from piddm.training.context import TrainingContext
from piddm.training.losses import DATA, fresh, regression
from piddm.training.optimisation import Loss

OPERATOR = NetworkConfig(widths=(48, 64, 96))
"""The operator's network, where the configuration names none."""

EDGES = 0.2
"""Weight of differences in the operator's regression, in which edges count most."""

CHOSEN_BY = 64
"""Draws by whose errors the kind of the last step is chosen."""

NONLINEAR = 0.01
"""Share of the variance that a linear prediction may leave, else there is none: what it adds of
waves that the solution has not, the network would have to take away again."""


@final
class StagedStudent(FlowStudent):
    """Maps white noise to inputs, and inputs to the state that they determine.

    Args:
        teacher: Where the normalisation and the colour come from, and the weights of the first
            network unless the configuration names one.
        pde: The equation, which says what is an input.
        config: The run's configuration; see ``inputs`` and ``operator`` of its student.

    Attributes:
        determined: Whether the inputs determine the state, and there is a second stage.
        gaussian: Whether inputs are the colour's, and there is no network in the first.
        marched: Whether a correction goes from the first time through all others.
    """

    mask: Tensor
    gaussian: Tensor
    offset: Tensor
    spread: Tensor
    polish: Polish | None

    def __init__(self, teacher: Teacher, pde: PDE, config: Config) -> None:
        settings, packing = config.student, teacher.packing
        own = settings.inputs
        super().__init__(teacher, build_backbone(own, packing) if own else None)
        self.determined, self.polish, self._known = determined(pde), None, Remembered(bool)
        self.marched = goes_by_time(pde, packing.grid)
        if not self.determined:
            return
        self.operator = build_backbone(settings.operator or OPERATOR, packing)
        self.extension = Extension(pde, packing)
        self.prediction = LinearPrediction(len(packing.strengths), self.extension.mask)
        shape = (packing.channels, *packing.image)
        self.register_buffer("mask", self.extension.mask, persistent=False)  # the equation says it
        self.register_buffer("gaussian", torch.zeros((), dtype=torch.bool))
        self.register_buffer("offset", torch.zeros(shape))
        self.register_buffer("spread", torch.zeros(shape))
        self.law, self.moments = InputLaw(packing), Moments(packing)
        if settings.polish:
            self.polish = Polish(pde, packing, settings.polish)

    @property
    def calls(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Network calls that a sample takes."""
        return 1 + self.determined - self.plain

    @property
    def plain(self) -> bool:
        """Whether it draws inputs without a network: ``gaussian``, as the host knows it."""
        return self.determined and self._known(self.gaussian)

    @property
    def polished(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a Newton step ends it."""
        return self.polish is not None and self.polish.moves(self.packing)

    def leave_unpolished(self) -> None:
        """Leave the Newton step out."""
        self.polish = None

    def forward(self, noise: Tensor) -> Tensor:
        """Return packed samples x0 of the shape of ``noise``."""
        x = self.draw(noise)
        solved = self.solution(x)
        return x if solved is None else solved

    def begun(self, noise: Tensor) -> Tensor:
        """Return films with their drawn first time where a correction takes the step beside it."""
        x = self.draw(noise)
        solved = self.solution(x)
        if solved is None or not self.marched or self.polished:
            return x if solved is None else solved
        return torch.where(self.mask, x, solved)

    def solution(self, x: Tensor) -> Tensor | None:
        """Return the states of the inputs of ``x``; None where inputs determine none."""
        if not self.determined:
            return None
        solved = self.solve(x)
        return solved if self.polish is None else self._polished(x, solved, self.polish)

    def draw(self, noise: Tensor) -> Tensor:
        """Return the first stage's answer, of which the inputs are used."""
        if self.plain:
            return self.law(noise, self.packing)
        x = self.packing.colour(noise)
        x = x + self.turn(x, x.new_ones(x.shape[0]))
        return self.moments(x, self.packing) if self.determined else x

    def solve(self, x: Tensor) -> Tensor:
        """Return packed states with the inputs of ``x``, which looks at nothing else of it."""
        level = self.packing.mean / self.packing.scale
        known = self.extension(self.packing.sharp(x) + level)
        answer = self.operator(known, x.new_ones(x.shape[0])).chunk(2, dim=1)[0]
        solved = torch.addcmul(self.prediction(x, self.packing) + self.offset, self.spread, answer)
        return torch.where(self.extension.whole, x, solved)

    def _polished(self, x: Tensor, solved: Tensor, polish: Polish) -> Tensor:
        if not polish.moves(self.packing):
            return solved
        polished = polish(torch.where(self.mask, x, solved), self.packing)
        if polish.shifts(self.packing):
            return polished
        # An input of a few values keeps what it was before it was rounded to them.
        return torch.where(self.extension.whole, x, polished)

    @torch.no_grad()
    def fit(self, data: Tensor) -> None:
        """Decide on a first network; set the prediction, and what packed data have beyond it."""
        data = _looked_at(data).to(self.offset)
        self.gaussian.fill_(is_gaussian(data, self.packing, self.mask))
        if self.gaussian:
            self.law.fit(data, self.packing, self.mask)  # in training, too, it draws
            for parameter in self.network.parameters():  # unused: zeros take no room in a file
                parameter.requires_grad_(False).zero_()
        periodic, unknown = self.packing.image_periodic, ~self.mask
        self.prediction.fit(self.packing)
        beyond = data - self.prediction(data, self.packing)
        if beyond[:, unknown].square().mean() > NONLINEAR * data[:, unknown].square().mean():
            self.prediction.gain.zero_()
            beyond = data
        offset = symmetric(beyond, periodic)
        self.offset.copy_(offset)
        self.spread.copy_(symmetric((beyond - offset).square(), periodic).sqrt())

    def objective(self, context: TrainingContext) -> Loss:
        """Return the loss of both stages, of which each moves its own network."""
        if not self.determined:
            return regression(context)
        self.fit(context.data)
        settings, packing = context.config.student, context.packing
        error = RelativeError(packing.weigh(_looked_at(context.data)).to(self.offset))
        physics = settings.physics_weight > 0
        if self.polish is not None:
            self.polish.fit(context.projection.row_scale)
            physics = physics and not self.polish.moves(packing)

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            draw = generator(context.config.seed, "student", step)
            noise, target = map(ranks.share, context.pairs.draw(settings.batch, draw))
            # The same numbers of samples as other students have, and as many data beside them.
            inputs = self.draw(torch.cat([noise, ranks.share(fresh(context, draw))]))
            truth = ranks.share(_some(context, settings.batch, draw))
            states = self.solve(torch.cat([truth, inputs[len(noise) :].detach()]))
            parts = {"operator": error(packing.weigh(states[: len(truth)] - truth))}
            total = parts["operator"]
            if not self.plain:
                away = packing.weigh(inputs[: len(noise)] - target)
                parts["pair"] = away.square().mean()
                total = total + parts["pair"]
            if physics:
                parts["physics"] = context.physics(states[len(truth) :])
                total = total + settings.physics_weight * parts["physics"]
            if settings.energy_weight and not self.plain:
                data = _some(context, DATA * len(inputs) * ranks.size(), draw)
                own, other = packing.weigh(inputs), packing.weigh(data)
                parts["energy"] = energy_score(own, other, ranks.every(own))
                total = total + settings.energy_weight * parts["energy"]
            return {"loss": total, **parts}

        return loss

    def settle(self, data: Tensor, seed: int) -> None:
        """Give the first stage the moments of the data, or the law of Gaussian inputs."""
        if not self.determined:
            return
        some = _looked_at(data).to(self.offset)
        if self.gaussian:
            self.law.fit(some, self.packing, self.mask)
        else:
            self.moments.fit(self.draw, some, self.packing, seed)
        if self.polish is not None and not bool(self.extension.whole.any()):
            shape = (CHOSEN_BY, *data.shape[1:])
            with torch.no_grad():
                x = self.draw(white(shape, self.offset.device, seed, "polish"))
                self.polish.choose(torch.where(self.mask, x, self.solve(x)), self.packing)


def _looked_at(data: Tensor) -> Tensor:
    """Return the data that a fit looks at."""
    return data[memory.some(len(data), data[:1].numel())]


def _some(context: TrainingContext, count: int, draw: Generator) -> Tensor:
    some = context.data[torch.randint(len(context.data), (count,), generator=draw)]
    return sent(some, context.device)


def determined(pde: PDE) -> bool:
    """Return whether a state holds all that its solution is a function of."""
    return bool(pde.inputs) and not any(isinstance(given, Param) for given in pde.inputs)


class RelativeError:
    """Relative error of states, and :data:`EDGES` times that of their differences along the image.

    Args:
        data: Packed data, weighed: what an error is relative to.
    """

    def __init__(self, data: Tensor) -> None:
        self.sizes = [float(part.mean().sqrt()) for part in _squares(data)]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the mean over samples of errors ``(batch, channel, *image)``."""
        size, slope = (p.sqrt().mean() / s for p, s in zip(_squares(x), self.sizes, strict=True))
        return size + EDGES * slope


def _squares(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean square of each sample, and of its differences along both axes together."""
    slopes = [x.diff(dim=d) for d in (-2, -1) if x.shape[d] > 1]
    own, *along = (v.square().mean((1, 2, 3)) for v in (x, *slopes))
    return own, torch.stack(along).sum(0)
