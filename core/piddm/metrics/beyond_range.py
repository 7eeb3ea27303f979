r"""Values of samples that no data have: overshoots beside a jump, densities below zero.

.. math:: \max_f \frac{1}{n}\,\#\{x_f < \min y_f \text{ or } x_f > \max y_f\},

the share of a field's values, all nodes and samples pooled, that are outside the range of the
held-out data, of the field that has most of them. Two draws of one law show its floor, which is not
zero: the extremes of a second draw lie beyond those of the first as often as not.
"""

from __future__ import annotations

from piddm.metrics.comparison import Comparison

ROUNDING = 1e-6
"""Share of the range by which a value may leave it: samples are float32."""


def beyond_range(comparison: Comparison) -> float:
    """Return the share of values beyond the range of the data, of the worst field."""
    shares = []
    for name in comparison.packing.names:
        values, data = comparison.sample_fields[name], comparison.data_fields[name]
        low, high = data.min(), data.max()
        slack = ROUNDING * (high - low)
        shares.append(float(((values < low - slack) | (values > high + slack)).double().mean()))
    return max(shares)
