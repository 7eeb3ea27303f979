"""The built-in equations, a file each; they come in by the same door as anybody's plugin."""

from piddm import hookimpl

EQUATIONS = {
    "advection": "1-D linear advection of two sine waves",
    "allen-cahn": "1-D Allen-Cahn on a periodic interval",
    "burgers": "1-D viscous Burgers on a periodic interval",
    "darcy": "2-D Darcy flow through a two-phase medium",
    "darcy-channels": "2-D Darcy flow through meandering channels, a law of connected phases",
    "darcy-neumann": "2-D Darcy flow through a smooth medium, source and sink in a closed box",
    "fisher-kpp": "1-D Fisher-KPP on a periodic interval",
    "heat": "1-D heat equation with an unknown diffusivity",
    "helmholtz": "2-D Helmholtz equation with a random source",
    "kdv": "1-D Korteweg-de Vries on a periodic interval",
    "kolmogorov": "2-D Kolmogorov flow on a torus, with drag, after burn-in",
    "navier-stokes": "2-D Navier-Stokes on a torus, vorticity and stream function",
    "poisson": "2-D Poisson's equation with a random source",
    "reaction-diffusion": "1-D reaction-diffusion with unknown fluxes at both ends",
    "shallow-water": "Shallow water on the rotating Earth: geopotential, vorticity, divergence",
    "sphere-allen-cahn": "Allen-Cahn on the sphere",
    "sphere-poisson": "Poisson's equation on the sphere with a random source",
    "stokes": "1-D Stokes' second problem: a fluid above a swinging wall",
}
"""Name to summary; darcy-neumann is DARCY_NEUMANN of the file darcy_neumann.py."""


@hookimpl
def piddm_register_pdes(register):
    """Name the equations; each file is read only when its equation is asked for."""
    for name, summary in EQUATIONS.items():
        stem = name.replace("-", "_")
        register.lazy(name, summary, f"{__name__}.{stem}:{stem.upper()}")
