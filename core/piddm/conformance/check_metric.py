"""The promises of a metric: a finite number, the same each time, of samples that it keeps."""

from __future__ import annotations

import torch

from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What
from piddm.metrics.comparison import Comparison, measured


def check_metric(what: What) -> None:
    """Check a metric: its name, or the function itself.

    Args:
        what: The name that it is registered under, or what was registered.

    Raises:
        AssertionError: If it does not keep what ``piddm_register_metrics`` promises.
        PiddmError: If it fails, or returns what is no finite number.
    """
    trial, at = Trial("metric", what), problem()
    every = {k: v.double() for k, v in at.fields.items()}
    half = len(next(iter(every.values()))) // 2
    own, others = ({k: v[part] for k, v in every.items()} for part in
                   (slice(half), slice(half, None)))  # fmt: skip
    samples, data = at.packing.normalised(own), at.packing.normalised(others)
    given = Comparison(samples, data, own, others, at.residual, at.scale, at.packing)
    handed = [samples, data, *every.values()]
    before = [v.clone() for v in handed]
    with torch.no_grad(), trial.from_generators():
        first, again = (measured(trial.make, trial.name, given) for _ in range(2))
    kept = all(torch.equal(a, b) for a, b in zip(before, handed, strict=True))
    trial.hold(kept, "it changes the samples or the data that it is handed")
    trial.hold(first == again, "it is another number the second time")
