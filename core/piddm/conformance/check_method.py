"""The promises of a method: samples from noise and a generator, and a loss where it trains."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch

from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What
from piddm.methods.method import Method
from piddm.tools.randomness import generator


def check_method(what: What, **settings: Any) -> None:
    """Check a method: its name, or the class itself.

    Args:
        what: The name that it is registered under, or what was registered.
        **settings: Its own, where it has some.

    Raises:
        AssertionError: If it does not keep what :class:`piddm.interfaces.Method` promises.
        PiddmError: If it cannot be built, or lacks a method.
    """
    trial, at = Trial("method", what), problem()
    teacher, noise = at.teacher(), at.noise(3)
    weights = {k: v.clone() for k, v in teacher.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        context = at.context(Path(folder), teacher)
        method: Method = trial.build(Method, (context,), settings)
        with trial.from_generators():
            if method.trained is not None:
                own = type(method).loss is not Method.loss
                trial.hold(own, "it trains something and has no loss")
                first = trial.loss(method.loss(method.trained, 0), method.trained)
                second = trial.loss(method.loss(method.trained, 0), method.trained)
                trial.hold(first == second, "a step's loss is another when it is asked again")
                method.trained.eval().requires_grad_(False)
            before = noise.clone()
            with torch.no_grad():
                samples = method.sample(noise, generator(0, "check"))
                again = method.sample(noise, generator(0, "check"))
    trial.hold(samples.shape == noise.shape, "its samples have another shape than the noise")
    trial.hold(samples.isfinite().all(), "its samples are not finite")
    trial.same(again, samples, "the same noise and generator give other samples")
    trial.hold(torch.equal(noise, before), "it changes the noise that it is given")
    kept = all(torch.equal(v, weights[k]) for k, v in teacher.state_dict().items())
    trial.hold(kept, "it changes the teacher, which others use too")
