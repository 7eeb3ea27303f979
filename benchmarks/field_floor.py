"""The least error of the field's benchmark, forward, on linear equations: by scipy alone.

``python benchmarks/field_floor.py --truths 100`` shares no code with piddm: the published random
field by an inverse cosine transform, as its generator draws it, 500 of 128 x 128 nodes at random,
the mean of the Gaussian law that agrees with them, and the solution of both by sine transforms. It
prints the mean of the relative L2 errors in % and its standard error, for Poisson's equation and
for Helmholtz' with k = 1. No estimate does better in the mean square. With ``--same`` the inputs
and the places are those of benchmarks/field_benchmark.py, drawn by piddm; all else is as before,
the true solutions included.
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


def law() -> np.ndarray:
    """Return the deviation of each mode."""
    k = np.arange(NODES)
    size = TAU ** (ALPHA - 1) * (np.pi**2 * (k[:, None] ** 2 + k**2) + TAU**2) ** (-ALPHA / 2)
    size[0, 0] = 0.0
    return size


def field(modes: np.ndarray) -> np.ndarray:
    """Return the field of white modes."""
    return idctn(NODES * law() * modes, norm="ortho")


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an input, and the places of its sensors."""
    draw = np.random.default_rng(seed)
    a, at = field(draw.standard_normal((NODES, NODES))), draw.permutation(NODES**2)[:SENSORS]
    row, column = np.divmod(at, NODES)
    # On the wall the published inputs are zero, which says nothing of the field inside.
    return a, at[(row % (NODES - 1) > 0) & (column % (NODES - 1) > 0)]


def same(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the benchmark's own truth."""
    from argparse import Namespace

    import field_benchmark

    import piddm

    options = Namespace(size=NODES, sensors=SENSORS)
    case = field_benchmark.CASES[name]
    seen = field_benchmark.problem(piddm.get_pde(name), case, "inverse", seed, options)
    forward = field_benchmark.problem(piddm.get_pde(name), case, "forward", seed, options)[3]
    at = (forward.points["a"].numpy() * (NODES - 1)).round().astype(int)
    a, at = seen[2].numpy(), np.ravel_multi_index(tuple(at.T), (NODES, NODES))
    return a, at[a.ravel()[at] != 0]  # zeros of an edge, where the law has one, say nothing


def error(a: np.ndarray, at: np.ndarray, wave: float) -> float:
    """Return the error in % of the solution of the most likely input, given values at nodes."""
    k, size = np.arange(NODES), law()
    cosines = np.sqrt(2.0) * np.cos(np.pi * np.outer((k + 0.5) / NODES, k))
    cosines[:, 0] = 1.0
    row, column = np.divmod(at, NODES)
    rows = (cosines[row][:, :, None] * cosines[column][:, None] * size).reshape(len(at), -1)
    covariance = rows @ rows.T
    covariance[np.diag_indices(len(at))] *= 1 + 1e-11
    mean = field((np.linalg.solve(covariance, a.ravel()[at]) @ rows).reshape(a.shape))
    true = solved(a, wave)
    return 100 * float(np.linalg.norm(solved(mean, wave) - true) / np.linalg.norm(true))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--truths", type=int, default=100)
    parser.add_argument("--same", action="store_true", help="truths of the benchmark")
    parser.add_argument("--pde", nargs="+", choices=list(WAVES), default=list(WAVES))
    given = parser.parse_args()
    for name in given.pde:
        wave = WAVES[name]
        own = np.array([error(*(same(name, seed) if given.same else drawn(seed)), wave)
                        for seed in range(given.truths)])  # fmt: skip
        print(f"{name} forward {own.mean():.2f} ± {own.std(ddof=1) / len(own)**0.5:.2f} "
              f"({len(own)}): {' '.join(f'{e:.2f}' for e in own)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
