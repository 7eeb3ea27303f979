r"""Where the solve of a film's next time starts, and when its result needs no further look.

From solved times :math:`x_{k-1}, x_{k-2}, x_{k-3}` and a sample's own :math:`y`, the start is

.. math:: x_k \approx x_{k-1} + a\,(y_k - y_{k-1}) + b\,\nabla x_{k-1} + c\,\nabla^2 x_{k-1},

:math:`\nabla` the difference backwards in time, with a, b and c of each sample those that would
have met the time before best, by least squares: a good sample's own change is followed, a bad one's
is left out, and a film that is smooth in time is continued.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RIDGE = 1e-6
"""Share of a change's own square that is added to it: changes that say the same share the start."""

RENEWED = 4
"""How often the shares are fitted: once in so many times, for they change slowly."""

SAFE, LOOKS = 4.0, 8
"""Factor on the rate at which a sample's error is expected to fall, and how often it is looked at
in any case: once in so many times."""


class Starts:
    """Starts of one field.

    Args:
        given: The samples' own films, ``(batch, times, *space)``.
        film: The same shape, solved up to the time before the one asked for.
    """

    def __init__(self, given: Tensor, film: Tensor) -> None:
        self._given, self._film = given, film
        self._share: tuple[Tensor, ...] = ()

    def at(self, now: int) -> Tensor:
        """Return ``(batch, *space)`` at a time, the first being 0."""
        before = self._film[:, now - 1]
        if now < 3:
            return before + self._given[:, now] - self._given[:, now - 1]
        if not self._share or now % RENEWED == 0:
            self._share = self._fitted(now)
        start = before
        for share, change in zip(self._share, self._changes(now), strict=False):
            start = start.addcmul(share, change)
        return start

    def _changes(self, now: int) -> list[Tensor]:
        """Return what the start is made of."""
        film, given = self._film, self._given
        own = given[:, now] - given[:, now - 1]
        first = film[:, now - 1] - film[:, now - 2]
        if now < 3:
            return [own, first]
        return [own, first, first - film[:, now - 2] + film[:, now - 3]]

    def _fitted(self, now: int) -> tuple[Tensor, ...]:
        """Return the shares that would have met the time before best, ``(batch, 1, ..)`` each."""
        film = self._film
        wanted = film[:, now - 1] - film[:, now - 2]
        earlier = torch.stack(self._changes(now - 1), 1).flatten(2)
        square = earlier @ earlier.mT
        size = square.diagonal(dim1=1, dim2=2).clamp_min(torch.finfo(square.dtype).tiny).rsqrt()
        square = square * size[:, :, None] * size[:, None]  # so that the ridge is a share of each
        square = square + RIDGE * torch.eye(square.shape[1]).to(square)
        right = size[..., None] * (earlier @ wanted.flatten(1)[..., None])
        share = size * torch.linalg.solve_ex(square, right)[0][..., 0]
        return tuple(
            s.nan_to_num(0.0, 0.0, 0.0).view(-1, *[1] * (film.ndim - 2)) for s in share.unbind(1)
        )


class Pace:
    """How fast errors fall, sample by sample, as seen at the times before.

    Args:
        batch: Number of samples.
        like: Any of their values.
    """

    def __init__(self, batch: int, like: Tensor) -> None:
        self._rate, self._left = like.new_full((batch,), torch.inf), 0

    def sure(self, error: Tensor, open_: Tensor, enough: float) -> bool:
        """Return whether another product will surely do for all that are still open."""
        if self._left <= 0 or not bool((~open_ | (SAFE * self._rate * error <= enough)).all()):
            return False
        self._left -= 1
        return True

    def seen(self, errors: Sequence[Tensor]) -> None:
        """Take the errors of all samples after each product at one time."""
        if len(errors) > 1:
            self._rate, self._left = (errors[-1] / errors[-2]).nan_to_num(torch.inf), LOOKS
