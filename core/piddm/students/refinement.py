r"""The refinement of a student's samples by gradient steps on their noise (PIDDM-ref)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piddm.training.physics import PhysicsLoss


def refine(
    student: nn.Module,
    noise: Tensor,
    physics: PhysicsLoss,
    steps: int,
    learning_rate: float = 0.02,
) -> Tensor:
    r"""Return samples after ``steps`` gradient steps on their noise against the residual.

    .. math:: \epsilon \leftarrow \epsilon - \eta\,\nabla_\epsilon \|R(d(\epsilon))\|^2,

    by Adam, which makes the step size independent of the residual's. Each costs a forward and a
    backward pass. Samples stay in the student's range: this is PIDDM-ref of arXiv 2505.22391.

    Args:
        student: A one-step generator.
        noise: White noise ``(count, channel, *image)``.
        physics: What to lower.
        steps: Gradient steps.
        learning_rate: Adam's, in units of the noise.
    """
    point = noise.clone().requires_grad_()
    optimiser = torch.optim.Adam([point], lr=learning_rate)
    frozen = [p.requires_grad for p in student.parameters()]
    student.requires_grad_(False)
    try:
        for _ in range(steps):
            optimiser.zero_grad()
            # A sum over samples: a sample's steps do not depend on the number of samples.
            (physics(student(point)) * len(point)).backward()
            optimiser.step()
    finally:
        for parameter, flag in zip(student.parameters(), frozen, strict=True):
            parameter.requires_grad_(flag)
    with torch.no_grad():
        return student(point)
