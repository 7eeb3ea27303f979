"""Trained models, a folder each: weights, and a card with scores and the command that made them.

``benchmarks/train_students.py NAME`` trains one anew. ``piddm models`` lists them.
"""

from pathlib import Path

from piddm import hookimpl

MODELS: dict[str, str] = {
    "burgers-128": "Burgers' equation in space-time, 128 x 128; no teacher",
    "burgers-64": "Burgers' equation in space-time, 64 x 64; 3,000 steps of the operator",
    "darcy-128": "Darcy flow through a medium of two phases, 128 x 128; no teacher",
    "darcy-64": "Darcy flow through a medium of two phases, 64 x 64; learnt from its teacher",
    "helmholtz-128": "Helmholtz equation with a random source, 128 x 128; no teacher",
    "helmholtz-64": "Helmholtz equation with a random source, 64 x 64; no teacher",
    "navier-stokes-32": "Navier-Stokes on a torus, films of 16 times of 32 x 32; no teacher",
    "poisson-128": "Poisson's equation with a random source, 128 x 128; no teacher",
    "poisson-64": "Poisson's equation with a random source, 64 x 64; no teacher",
}
"""Name to summary; the folder of that name is beside this file."""


@hookimpl
def piddm_register_models(register):
    """Name the models."""
    for name, summary in MODELS.items():
        register(name, summary, Path(__file__).parent / name)
