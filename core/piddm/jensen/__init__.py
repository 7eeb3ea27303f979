"""Jensen's gap: the residual of the posterior mean against the mean of the residual."""

from piddm.jensen.gap import LEVELS, Level, jensen_gap
from piddm.jensen.ideal import IdealDenoiser

__all__ = ["LEVELS", "IdealDenoiser", "Level", "jensen_gap"]
