r"""Fields with a range, and the transform that keeps them in it.

A positive field is its logarithm to a network, one between two ends its logit: whatever the network
says, the field is inside.

.. math:: T(u) = \log(u - a), \qquad T(u) = -\log(b - u), \qquad T(u) = \log\frac{u - a}{b - u}.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from piddm.symbolic.operators import Bounds
from piddm.tools.errors import PiddmError


def text(bounds: Bounds) -> str:
    """Return a range as people write it: ``(0, ∞)``."""
    low, high = bounds
    return f"({'-∞' if low is None else f'{low:g}'}, {'∞' if high is None else f'{high:g}'})"


def inner(bounds: Bounds) -> float:
    """Return a value in a range: zero where there is none, one from its end, or its middle."""
    low, high = bounds
    if low is None:
        return 0.0 if high is None else high - 1
    return low + 1 if high is None else (low + high) / 2


def inside(values: Tensor, bounds: Bounds) -> Tensor:
    """Return which values are in a range, its ends left out."""
    low, high = bounds
    found = torch.ones_like(values, dtype=torch.bool)
    if low is not None:
        found &= values > low
    return found if high is None else found & (values < high)


def check(fields: Mapping[str, Tensor], bounds: Mapping[str, Bounds], what: str) -> None:
    """Refuse values outside of their field's range.

    Raises:
        PiddmError: With the worst value.
    """
    for name, own in bounds.items():
        if name not in fields:
            continue
        outside = fields[name][~inside(fields[name], own)]
        if len(outside):
            low, high = own
            middle = low if high is None else high if low is None else (low + high) / 2
            worst = float(outside[(outside - (middle or 0.0)).abs().argmax()])
            raise PiddmError(
                f"{what}{name} = {worst:.3g}, outside of the range {text(own)} that {name} is "
                f"declared to have ({len(outside)} values of {fields[name].numel()})"
            )


def forward(values: Tensor, bounds: Bounds) -> Tensor:
    """Return T(u)."""
    low, high = bounds
    if high is None:
        return values if low is None else torch.log(values - low)
    if low is None:
        return -torch.log(high - values)
    return torch.log(values - low) - torch.log(high - values)


def backward(values: Tensor, bounds: Bounds) -> Tensor:
    """Return u of T(u)."""
    low, high = bounds
    if high is None:
        return values if low is None else low + torch.exp(values)
    if low is None:
        return high - torch.exp(-values)
    return low + (high - low) * torch.sigmoid(values)


def slope(values: Tensor, bounds: Bounds) -> Tensor:
    """Return T'(u)."""
    low, high = bounds
    total = torch.zeros_like(values)
    if low is None and high is None:
        return total + 1
    if low is not None:
        total = total + 1 / (values - low)
    return total if high is None else total + 1 / (high - values)
