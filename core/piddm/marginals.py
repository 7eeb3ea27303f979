r"""A loss on what a regression loses: the spread of the samples, node by node.

A student that regresses to its pairs averages over what it cannot predict: interfaces blur,
variance shrinks. The energy distance of the values at each node, between a batch of samples and a
batch of data, is smallest where the two laws agree:

.. math:: \overline{2\,E|X_i-Y_i| - E|X_i-X_i'| - E|Y_i-Y_i'|},

the mean over nodes i of normalised fields (times the shares of the area that they stand for, on a
sphere: the distance is homogeneous). It is the continuous ranked probability score of the
batch (Gneiting and Raftery, JASA 102, 2007), with unbiased estimates of its expectations; the last
term does not depend on the student and is left out.

All pairs at once would take a batch's size times the memory of a batch, several times over for the
derivative, and that is where the time goes with three axes. The slope is a sum of signs: it is
added up beside the value.
"""

from __future__ import annotations

import torch
from torch import Tensor


def marginal_energy(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean over nodes of 2 E|X - Y| - E|X - X'|, a scalar; its gradient is x's alone.

    Args:
        x: Samples ``(batch, ...)``, at least two.
        y: Data ``(other batch, ...)``.
    """
    x, y = x.flatten(1), y.flatten(1)
    with torch.no_grad():
        across, towards = _away(x, y)
        within, apart = _away(x, x)
        one, two = 2 / (len(y) * x.numel()), 1 / ((len(x) - 1) * x.numel())
        value, slope = one * across - two * within, one * towards - 2 * two * apart
    return value + (slope * (x - x.detach())).sum()


def _away(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of |x_i - y_j| over all pairs and nodes, and of their signs over j."""
    total, signs = x.new_zeros(()), torch.zeros_like(x)
    for one in y:
        away = x - one
        signs += away.sign()
        total += away.abs_().sum()
    return total, signs
