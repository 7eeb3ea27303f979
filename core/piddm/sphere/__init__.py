"""Equations on the sphere: harmonics, and a residual of its own in place of stencils.

Nothing else of piddm imports torch-harmonics, and nothing does before a spherical grid is in use.
"""

from piddm.sphere.harmonics import Harmonics, Operator, harmonics_of
from piddm.sphere.residual import SphereResidual

__all__ = ["Harmonics", "Operator", "SphereResidual", "harmonics_of"]
