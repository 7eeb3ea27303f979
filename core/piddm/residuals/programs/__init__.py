"""Programs, as which compiled expressions run: lists of tensor operations with their derivatives.

This is the door: nothing outside imports a file of the room. ``steps`` are what a compiler emits,
``optimise`` makes fewer of them, ``program`` is a line of them in order, and ``execution``
evaluates, pushes and pulls it, and chooses how under each of torch's transforms.
"""

from piddm.residuals.programs.execution import (
    Executable,
    run,
)
from piddm.residuals.programs.optimise import (
    known_value,
    optimised,
)
from piddm.residuals.programs.steps import (
    SPECTRAL,
    Apply,
    Combine,
    Constant,
    Integrate,
    Join,
    Load,
    Matrix,
    Pick,
    Place,
    Power,
    Product,
    Scalar,
    Span,
    Step,
    Sum,
    Tap,
)

__all__ = [
    "SPECTRAL",
    "Apply",
    "Combine",
    "Constant",
    "Executable",
    "Integrate",
    "Join",
    "Load",
    "Matrix",
    "Pick",
    "Place",
    "Power",
    "Product",
    "Scalar",
    "Span",
    "Step",
    "Sum",
    "Tap",
    "known_value",
    "optimised",
    "run",
]
