"""Samples beside held-out data, as metrics are handed them, and the metrics that are registered."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from piddm.data.packing import Packing
from piddm.plugins.contracts import one_line
from piddm.plugins.lines import line_of
from piddm.plugins.loader import current
from piddm.residuals.residual import Fields, Residual
from piddm.tools.errors import PiddmError


@dataclass(frozen=True)
class Comparison:
    """Samples beside data, as a metric is handed them: float64, on the CPU, and not to be changed.

    Args:
        samples: Normalised samples ``(count, channel, *image)``. On a sphere each is times the root
            of its node's share, so that a plain mean square is one over the area.
        data: Held-out data, likewise; the counts may differ.
        sample_fields: The samples in physical units, ``(count, *axes)`` each, and params
            ``(count,)``.
        data_fields: The held-out data, likewise.
        residual: The equation's residual on the grid.
        scale: Scale of each of its rows.
        packing: Normalisation and colour; its ``grid`` is the samples'.
    """

    samples: Tensor
    data: Tensor
    sample_fields: Fields
    data_fields: Fields
    residual: Residual
    scale: Mapping[str, float]
    packing: Packing


Metric = Callable[[Comparison], float | None]
"""A measure of samples beside data; None where it says nothing of an equation."""


def registered(comparison: Comparison) -> dict[str, float]:
    """Return the values of the registered metrics by name, without those that are None.

    Raises:
        PiddmError: If a metric fails, or returns what is no finite number.
    """
    found: dict[str, float] = {}
    plugins = current()
    for entry in plugins.list_all("metric"):
        metric, what = plugins.get("metric", entry.name), plugins.described("metric", entry.name)
        if (value := measured(metric, what, comparison)) is not None:
            found[entry.name] = value
    return found


def measured(metric: Metric, what: str, comparison: Comparison) -> float | None:
    """Return the value of one metric.

    Args:
        metric: The metric.
        what: What messages call it.
        comparison: What it is handed.

    Raises:
        PiddmError: If it fails, or returns what is no finite number.
    """
    try:
        value = metric(comparison)
    except PiddmError:
        raise
    except Exception as error:  # somebody else's code
        line = line_of(error, lambda frame: frame.f_globals.get("__name__") == metric.__module__)
        at = f"{line}: " if line else ""
        raise PiddmError(f"{what} fails: {at}{one_line(error)}") from error
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise PiddmError(f"{what} returns {value!r}, which is no finite number; return one, or "
                         "None where it says nothing")  # fmt: skip
    return number
