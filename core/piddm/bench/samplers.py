"""How a competitor samples, and how its samples end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Generator as Steps

import torch
from torch import Tensor, nn

from piddm.bench.counting import counting
from piddm.runs.stages import Distillation
from piddm.students.input_law import InputLaw
from piddm.students.refinement import refine
from piddm.teachers.sampling import noises
from piddm.tools.errors import UsageError
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator
from piddm.training.context import TrainingContext

Sampler = Callable[[Tensor, torch.Generator], Tensor]
"""White noise and a source of chance to packed samples."""


def of_student(student: nn.Module, context: TrainingContext, steps: int) -> Sampler:
    """Return how a student samples, refined in so many steps."""

    def sample(noise: Tensor, draw: torch.Generator) -> Tensor:
        if not steps:
            return student(noise)
        with torch.enable_grad():
            return refine(student, noise, context.physics, steps)

    return sample


def corrected(sampler: Sampler, context: TrainingContext) -> Sampler:
    """Return samples after the correction."""
    return lambda noise, draw: context.correct(sampler(noise, draw))


def projected(sampler: Sampler, context: TrainingContext) -> Sampler:
    """Return a sampler that ends at the nearest solutions, in float64."""
    return lambda noise, draw: context.project(sampler(noise, draw).double())


def of_inputs(job: Distillation, context: TrainingContext) -> Sampler:
    """Return draws of a Gaussian fitted to the inputs, where the colour lacks their fine waves."""
    law = InputLaw.of(job.pde, context.packing, context.data)
    return lambda noise, draw: law(noise, context.packing)


def solved(sampler: Sampler, job: Distillation, context: TrainingContext) -> Sampler:
    """Return a sampler that ends at the solutions that its samples' inputs have.

    Raises:
        UsageError: If the equation declares no inputs.
    """
    if job.own_solution is None:
        raise UsageError(f"+solved: {job.pde.name} declares no inputs to solve from")

    def sample(noise: Tensor, draw: torch.Generator) -> Tensor:
        return job.solved(sampler(noise, draw), context.packing)

    return sample


def draw(
    label: str, sampler: Sampler, context: TrainingContext, networks: Mapping[nn.Module, int],
    count: int, seed: int,
) -> Steps[Progress, None, tuple[Tensor, int, float]]:  # fmt: skip
    """Draw samples; return them, the network calls and the seconds for each."""
    batches = noises(context.shape, count, seed, context.device)
    parts, seconds = [], 0.0
    with counting(networks) as calls:
        for i, noise in enumerate(batches):
            chance = generator(seed, "bench", i)
            start = time.perf_counter()
            with torch.no_grad():
                parts.append(sampler(noise, chance).detach())
            if context.device.type == "cuda":
                torch.cuda.synchronize()
            seconds += time.perf_counter() - start
            yield Progress(f"sample {label}", i + 1, len(batches), {})
    x = torch.cat(parts)
    return x, round(calls.total / len(x)), seconds / len(x)
