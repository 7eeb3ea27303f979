"""Gradients through a correction, by the implicit function theorem."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Implicit(torch.autograd.Function):
    """A correction as one operation."""

    @staticmethod
    def forward(ctx: Any, run: Any, pull_back: Any, names: tuple[str, ...], *values: Tensor):
        """Run it, and keep where it came to."""
        moved = run(dict(zip(names, values, strict=True)))
        ctx.names, ctx.pull_back = names, pull_back
        ctx.save_for_backward(*moved.values())
        return tuple(moved[k].clone() if moved[k] is v else moved[k]
                     for k, v in zip(names, values, strict=True))  # fmt: skip

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor):
        """Solve the transposed equations there."""
        fields = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        given = {
            k: torch.zeros_like(fields[k]) if g is None else g
            for k, g in zip(ctx.names, gradients, strict=True)
        }
        with torch.no_grad():
            found = ctx.pull_back(fields, given)
        return None, None, None, *(found[k] for k in ctx.names)
