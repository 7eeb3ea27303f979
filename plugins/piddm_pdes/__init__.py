"""The built-in equations, a file each; they come in by the same door as anybody's plugin."""

from piddm import hookimpl


@hookimpl
def piddm_register_pdes(register):
    """Name the equations; each file is read only when its equation is asked for."""
    register.lazy(
        "burgers", "1-D viscous Burgers on a periodic interval", "piddm_pdes.burgers:BURGERS"
    )
    register.lazy("darcy", "2-D Darcy flow through a two-phase medium", "piddm_pdes.darcy:DARCY")
