"""The mistakes that each check protects from, in a sentence for people."""

from __future__ import annotations

PROTECTS: dict[str, str] = {
    "rows": "an ill-posed problem, and rows that depend on values which a sparse solver leaves out",
    "floor": "training on data that do not satisfy the residual they are trained with",
    "truth_against_zero": "a residual that calls noise, or nothing at all, a solution",
    "scales": "terms that are too small to be seen, by a wrong constant or unit",
    "stability": "steps in time with which errors grow until they are the solution",
    "limits": "wiggles of central differences, and conditions given where nothing comes in",
    "coefficients": "a coefficient that is not what its formula says, beyond a seam or a jump",
    "conservation": "mass, energy or momentum that is lost or made between two nodes",
    "order_of_residual": "a stencil that is not the equation's derivative, inside or beside a wall",
    "order_in_time": "a rate, or a source, that is taken at the wrong time",
    "spectral_accuracy": "wave numbers that are off by a factor or a mode",
    "order_of_solution": "solutions that converge to those of another equation, or not at all",
    "gradient": "training along derivatives that are not the residual's",
    "batch_independence": "samples that depend on which others stand beside them",
    "transforms": "wrong numbers under vmap or torch.compile",
    "solver_agreement": "an equation's own solver that solves another equation",
}
"""The mistakes that each check protects from, by its name."""
