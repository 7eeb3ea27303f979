"""Laws of random inputs: what a plugin names in ``inputs``.

Importing this module does not import torch, so that listing equations stays quick.
"""

from piddm.priors.channels import Channels
from piddm.priors.fields import GaussianField, KarhunenLoeve, Sines
from piddm.priors.maps import Inverse, LogNormal, Normal, TwoPhase, Uniform, UnitRange, ZeroOnEdge
from piddm.priors.prior import Prior

__all__ = [
    "Channels", "GaussianField", "Inverse", "KarhunenLoeve", "LogNormal", "Normal", "Prior",
    "Sines", "TwoPhase", "Uniform", "UnitRange", "ZeroOnEdge",
]  # fmt: skip
