"""Figures of a run, a file each. They take plain data and touch no global state of matplotlib."""

from piddm.figures.ablation import ablation
from piddm.figures.calibrations import calibrations
from piddm.figures.data_check import checked
from piddm.figures.error_curves import convergence, scales
from piddm.figures.gallery import gallery
from piddm.figures.jensen_curves import jensen
from piddm.figures.loss_curves import training
from piddm.figures.pareto import pareto
from piddm.figures.placements import placements
from piddm.figures.reliability import calibration
from piddm.figures.samples import samples
from piddm.figures.solutions import solution
from piddm.figures.style import save
from piddm.figures.tradeoff import tradeoff

__all__ = [
    "ablation", "calibration", "calibrations", "checked", "convergence", "gallery", "jensen",
    "pareto", "placements", "samples", "save", "scales", "solution", "tradeoff", "training",
]  # fmt: skip
