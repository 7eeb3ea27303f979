"""The least error of the field's benchmark, forward, on linear equations: by scipy alone.

``python benchmarks/field_floor.py --truths 100`` shares no code with piddm: the published random
field by an inverse cosine transform, as its generator draws it, 500 of 128 x 128 nodes at random,
the mean of the Gaussian law that agrees with them, and the solution of both by sine transforms. It
prints the mean of the relative L2 errors in % and its standard error, for Poisson's equation and
for Helmholtz' with k = 1. No estimate does better in the mean square.
"""

import argparse

import numpy as np
from scipy.fft import dstn, idctn, idstn

NODES, SENSORS, ALPHA, TAU = 128, 500, 2.0, 3.0
WAVES = {"poisson": 0.0, "helmholtz": 1.0}
"""Square of the wave number of each equation."""


def solved(a: np.ndarray, wave: float) -> np.ndarray:
    """Return u of u_xx + u_yy + k^2 u = a, 0 on the wall, nodes on the wall included."""
    inner, u = NODES - 2, np.zeros_like(a)
    one = (2 - 2 * np.cos(np.pi * np.arange(1, inner + 1) / (inner + 1))) * (NODES - 1) ** 2
    modes = dstn(a[1:-1, 1:-1], type=1) / (wave - one[:, None] - one)
    u[1:-1, 1:-1] = idstn(modes, type=1)
    return u


def errors(seed: int) -> list[float]:
    """Return the error of each equation's solution on one truth."""
    draw, k = np.random.default_rng(seed), np.arange(NODES)
    size = TAU ** (ALPHA - 1) * (np.pi**2 * (k[:, None] ** 2 + k**2) + TAU**2) ** (-ALPHA / 2)
    size[0, 0] = 0.0

    def field(white: np.ndarray) -> np.ndarray:
        return idctn(NODES * size * white, norm="ortho")

    a = field(draw.standard_normal((NODES, NODES)))
    at = draw.permutation(a.size)[:SENSORS]
    cosines = np.sqrt(2.0) * np.cos(np.pi * np.outer((k + 0.5) / NODES, k))
    cosines[:, 0] = 1.0
    row, column = np.divmod(at, NODES)
    # On the wall the published inputs are zero, which says nothing of the field inside.
    within = (row % (NODES - 1) > 0) & (column % (NODES - 1) > 0)
    at, row, column = at[within], row[within], column[within]
    rows = (cosines[row][:, :, None] * cosines[column][:, None] * size).reshape(len(at), -1)
    covariance = rows @ rows.T
    covariance[np.diag_indices(len(at))] *= 1 + 1e-11
    mean = field((np.linalg.solve(covariance, a.ravel()[at]) @ rows).reshape(a.shape))
    found = []
    for wave in WAVES.values():
        true = solved(a, wave)
        found.append(100 * float(np.linalg.norm(solved(mean, wave) - true) / np.linalg.norm(true)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--truths", type=int, default=100)
    count = parser.parse_args().truths
    every = np.array([errors(seed) for seed in range(count)])
    for name, own in zip(WAVES, every.T, strict=True):
        print(f"{name} forward {own.mean():.2f} ± {own.std(ddof=1) / count**0.5:.2f} ({count})")


if __name__ == "__main__":
    main()
