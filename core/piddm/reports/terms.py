"""Terms of tables and reports, in one sentence each; the formulas are in docs/vocabulary.md."""

from __future__ import annotations

from collections.abc import Iterable

TERMS = {
    "scale": (
        "scale",
        "The natural size of the residual of one equation: the root mean square, over training "
        "data and nodes, of the equation's largest term.",
    ),
    "pde-error": (
        "PDE error",
        "Mean square residual, summed over equations and conditions. Normalised, each residual is "
        "divided by its equation's scale: 1 is as large as the equation's largest term. The PDE "
        "error of a constant field may be small, hence the distances to the data beside it.",
    ),
    "floor": (
        "floor",
        "The normalised PDE error of the training data themselves: rounding, where the derived "
        "solver made them. No sample is worth forcing below it.",
    ),
    "distance-to-solutions": (
        "distance to solutions",
        "Mean square length of one Gauss-Newton step from a sample to the nearest solution, in "
        "normalised fields. It measures how far a sample is from physical fields, where the PDE "
        "error measures how rough it is.",
    ),
    "truth": (
        "truth",
        "One draw of data scored against another. A generator is as good as the data where its "
        "scores are within the spread of the truth's.",
    ),
    "mmse-smse": (
        "MMSE, SMSE",
        "Mean square difference, to held-out data, of the pointwise mean and of the pointwise "
        "standard deviation of normalised fields. They detect a wrong mean or a lost spread, but "
        "not a wrong relation between nodes.",
    ),
    "energy-distance": (
        "energy distance",
        "(2 E|X - Y| - E|X - X'| - E|Y - Y'|) over the root of the number of values, X samples and "
        "Y held-out data, as whole normalised states. It is zero only for equal laws; the large "
        "and smooth part dominates it.",
    ),
    "one-point-distance": (
        "one-point distance",
        "Wasserstein-1 distance between the pooled values of a field in samples and in data, over "
        "the field's standard deviation. It detects blurred phases and lost extremes, but not "
        "values in wrong places.",
    ),
    "values-beyond-the-range": (
        "values beyond the range",
        "The share of a field's values in samples that are below the least or above the greatest "
        "one in held-out data, of the worst field: overshoots and lost signs. Two draws of data "
        "have a share of their own.",
    ),
    "spectrum-distance": (
        "spectrum distance",
        "Mean of |log10(P / P')| over shells of wavenumber, P and P' the mean power in samples and "
        "in data. It detects missing or excess fine grain, but not wrong phases.",
    ),
    "self-consistency": (
        "self-consistency",
        "Relative L2 distance of a sample's solution to the solution that the derived solver finds "
        "from the sample's own inputs. It does not measure whether the inputs are likely.",
    ),
    "network-calls": (
        "network calls",
        "Forward passes of the network that one sample takes; a step of a second-order sampler "
        "takes two.",
    ),
}
"""Name and definition, by anchor: that of a page, and that of docs/vocabulary.md."""

ANCHORS = {
    "pde_error": "pde-error",
    "pde_error_normalised": "pde-error",
    "constraint_distance": "distance-to-solutions",
    "mmse": "mmse-smse",
    "smse": "mmse-smse",
    "energy_distance": "energy-distance",
    "one_point_distance": "one-point-distance",
    "beyond-range": "values-beyond-the-range",
    "spectrum_distance": "spectrum-distance",
    "self_consistency": "self-consistency",
    "nfe": "network-calls",
    "calls": "network-calls",
}
"""The term's anchor, by quantity of the tables."""


def defined(anchors: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return anchor, name and definition of each term, in the order of :data:`TERMS`."""
    wanted = set(anchors)
    return [(anchor, *term) for anchor, term in TERMS.items() if anchor in wanted]
