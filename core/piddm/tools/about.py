"""Name and version of this package, and the name of what it knows no equation of."""

__version__ = "0.1.0"

NO_EQUATION = "no-equation"
"""What stands for an equation's name where data have none (:mod:`piddm.data.no_equation`)."""
