r"""A loss on what a regression loses: the spread of the samples, node by node.

A student that regresses to its pairs averages over what it cannot predict: interfaces blur,
variance shrinks. The energy distance of the values at each node, between a batch of samples and a
batch of data, is smallest where the two laws agree:

.. math:: \overline{2\,E|X_i-Y_i| - E|X_i-X_i'| - E|Y_i-Y_i'|},

the mean over nodes i of normalised fields (times the shares of the area that they stand for, on a
sphere: the distance is homogeneous). It is the continuous ranked probability score of the
batch (Gneiting and Raftery, JASA 102, 2007), with unbiased estimates of its expectations; the last
term does not depend on the student and is left out.
"""

from __future__ import annotations

from torch import Tensor


def marginal_energy(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean over nodes of 2 E|X - Y| - E|X - X'|, a scalar.

    Args:
        x: Samples ``(batch, ...)``, at least two.
        y: Data ``(other batch, ...)``.
    """
    x, y = x.flatten(1), y.flatten(1)
    across = (x[:, None] - y).abs().mean()
    within = (x[:, None] - x).abs().mean() * len(x) / (len(x) - 1)
    return 2 * across - within
