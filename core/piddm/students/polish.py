r"""The last layer of an operator: one Newton step towards the equation.

.. math:: x \leftarrow x - t\,\delta, \qquad J\,\delta \approx R(x),

by a few products with the equation's matrix (:mod:`piddm.numerics.correction`), t halved where the
error would rise. A network leaves an error that is small and has grain of every kind: the kinks
of a pressure where the medium jumps are finer than the squares of nodes that it folds. The step's
inverse takes all scales alike: four products, a third of a network call, take a pressure from a
normalised PDE error of 4 to 2e-4. Two leave 0.02, and one that is too wide, since what they make
least is the residual and not the error. Of a linear equation with constant coefficients the inverse
is exact, and one product is enough.

Where a field is an input, such as a medium or a force, the solution moves alone, if it has an
inverse that is cheap. From a first time on the inputs that were drawn are put in their place
before, and the step takes away what that leaves beside them; the grain of a network's squares with
it. The given time stays where such a step leaves errors of the same size; else all values move, as
little as they can. On Burgers errors are equal, but it ends at half of the distance from the
solution of the drawn inputs, whose fine waves are moved else, in two thirds of the time. Grids of
two axes on a plane have it, and spheres without time whose inverse by harmonics is exact; of films
a step takes several calls. Derivatives pass by the implicit function theorem, as those of a
correction.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from piddm.data.correcting import correction
from piddm.data.packing import Packing
from piddm.equation import PDE
from piddm.numerics.correction import Corrected, Correction
from piddm.numerics.interior import Unsuited
from piddm.residuals.residual import Fields
from piddm.tools.remembered import Remembered

AS_GOOD = 2.0
"""PDE error that a step which keeps the inputs may leave, over that of one which moves all: it is
nearer to the solution of the drawn inputs even so."""


class Polish(nn.Module):
    """Moves packed states towards the equation.

    Args:
        pde: The equation.
        packing: How fields are packed.
        iterations: Products with the matrix.
    """

    scale: Tensor
    keeps: Tensor

    def __init__(self, pde: PDE, packing: Packing, iterations: int) -> None:
        super().__init__()
        self._equation, self.iterations = _Equation(pde, packing), iterations
        # Scales of the residual's rows, known from data.
        self.register_buffer("scale", torch.ones(len(self._equation.rows)))
        # Whether a given first time is kept to the bit.
        self.register_buffer("keeps", torch.zeros((), dtype=torch.bool))
        self._keeps = Remembered(bool)
        self.register_load_state_dict_pre_hook(_as_of_old)

    def fit(self, scale: Mapping[str, float]) -> None:
        """Take the scale of each row of the residual."""
        self.scale.copy_(torch.tensor([scale[name] for name in self._equation.rows]))

    def choose(self, x: Tensor, packing: Packing) -> None:
        """Keep the inputs of states where a step that does is about as good as the other.

        Args:
            x: Packed states as they come from the operator, with the inputs that were drawn.
            packing: How they are packed.
        """
        fields, left = packing.unpack(x), dict[bool, float]()
        for keeps in (False, True):
            by = self._equation.correction(packing, self.scale, keeps)
            if by is not None:
                left[keeps] = float(self._step(by, fields).error.mean())
        self.keeps.fill_(left.get(True, math.inf) <= AS_GOOD * left.get(False, math.inf))

    def moves(self, packing: Packing) -> bool:
        """Return whether there is anything that it can do for this equation."""
        return self._by(packing) is not None

    def shifts(self, packing: Packing) -> bool:
        """Return whether inputs lose a mean for which there is no solution."""
        by = self._by(packing)
        return by is not None and bool(self._equation.rows) and bool(by.moves.shifts)

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """Return packed states ``(batch, channel, *image)``."""
        by = self._by(packing)
        if by is None:
            return x
        made = self._step(by, packing.unpack(x))
        return packing.pack({k: made.fields[k] for k in packing.names})

    def _by(self, packing: Packing) -> Correction | None:
        return self._equation.correction(packing, self.scale, self._keeps(self.keeps))

    def _step(self, by: Correction, fields: Fields) -> Corrected:
        return by(fields, tolerance=0.0, steps=1, iterations=self.iterations)


def _as_of_old(polish: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before loading: a file of an older version keeps no first time."""
    state.setdefault(prefix + "keeps", torch.zeros((), dtype=torch.bool))


class _Equation:
    """An equation on a grid, and its correction, which is made when first asked for.

    A copy of a student, whose weights may become others, shares the equation and makes its own.
    """

    def __init__(self, pde: PDE, packing: Packing) -> None:
        self._pde, self._residual = pde, pde.bind(packing.grid)
        self._made: dict[bool, Correction | None] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> _Equation:
        other = copy.copy(self)
        other._made = {}
        return other

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the residual's rows."""
        return tuple(self._residual.rows)

    def correction(self, packing: Packing, scale: Tensor, keeps: bool) -> Correction | None:
        """Return the correction about the data's mean; None where there is no cheap one.

        Args:
            packing: How fields are packed.
            scale: Scales of the rows.
            keeps: Whether inputs stay, those too that are one time of a film.
        """
        if keeps not in self._made:
            by_row = dict(zip(self.rows, scale.tolist(), strict=True))
            move, made = "solution" if keeps else None, None
            if len(packing.grid.shape) == 2:  # of films an inverse alone takes long to make
                with suppress(Unsuited):
                    made = correction(
                        self._pde, self._residual, packing, by_row, move, fallback=False
                    )
            self._made[keeps] = made if made is not None and made.cheap else None
        return self._made[keeps]
