"""The least error of the field's benchmark, forward, where the input is Gaussian: by scipy alone.

``python benchmarks/field_floor.py --truths 100`` shares no code with piddm: the published random
field by an inverse cosine transform, as its generator draws it, 500 of 128 x 128 nodes at random,
the mean of the Gaussian law that agrees with them, and the solution of both by sine transforms. It
prints the mean of the relative L2 errors in % and its standard error, for Poisson's equation and
for Helmholtz' with k = 1. No estimate does better in the mean square. For the flow (``--pde
navier-stokes``) it is the Gaussian mean of the first vorticity, and both are marched by Fourier
modes and Runge and Kutta's method; the estimate is then the flow of the mean. With ``--same`` the
inputs and the places are those of benchmarks/field_benchmark.py, drawn by piddm; all else is as
before, the true solutions included.
"""

import argparse

import numpy as np
from scipy.fft import dstn, fft2, idctn, idstn, ifft2, irfft2, rfft2

NODES, SENSORS, ALPHA, TAU = 128, 500, 2.0, 3.0
WAVES = {"poisson": 0.0, "helmholtz": 1.0}
"""Square of the wave number of each equation."""

FLOW, VISCOSITY, STEPS = "navier-stokes", 1e-3, 200
"""The flow on the torus, its viscosity, and steps of Runge and Kutta's method up to time 1."""


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


def torus() -> np.ndarray:
    """Return the variance of each Fourier mode of the first vorticity, of a mean square over 1."""
    k = np.fft.fftfreq(NODES, 1 / NODES)
    size = 2 * 7.0**3 * (4 * np.pi**2 * (k[:, None] ** 2 + k**2) + 49) ** -2.5
    size[0, 0] = 0.0
    return size


def swirled(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a first vorticity, and the places of its sensors."""
    draw = np.random.default_rng(seed)
    modes = fft2(draw.standard_normal((NODES, NODES))) * torus() ** 0.5 * NODES
    return ifft2(modes).real, draw.permutation(NODES**2)[:SENSORS]


def flowed(w: np.ndarray) -> np.ndarray:
    """Return the vorticity at time 1."""
    k = 2 * np.pi * np.fft.fftfreq(NODES, 1 / NODES)[:, None]
    m, x = 2 * np.pi * np.arange(NODES // 2 + 1), np.arange(NODES) / NODES
    square = k**2 + m**2
    inverse = 1 / np.where(square > 0, square, np.inf)
    kept = (np.abs(k) < 2 * np.pi * NODES / 3) & (m < 2 * np.pi * NODES / 3)
    angle = 2 * np.pi * (x[:, None] + x)
    force = rfft2(0.1 * (np.sin(angle) + np.cos(angle)))

    def rate(modes: np.ndarray) -> np.ndarray:
        stream = modes * inverse
        one = irfft2(1j * m * stream) * irfft2(1j * k * modes)
        other = irfft2(1j * k * stream) * irfft2(1j * m * modes)
        return kept * rfft2(other - one) - VISCOSITY * square * modes + force

    modes, h = rfft2(w), 1 / STEPS
    for _ in range(STEPS):
        first = rate(modes)
        second = rate(modes + h / 2 * first)
        third = rate(modes + h / 2 * second)
        fourth = rate(modes + h * third)
        modes = modes + h / 6 * (first + 2 * second + 2 * third + fourth)
    return irfft2(modes)


def error_of_flow(w: np.ndarray, at: np.ndarray) -> float:
    """Return the error in % of the last vorticity of the mean first one, given values at nodes."""
    between = ifft2(torus()).real * NODES**2
    row, column = np.divmod(at, NODES)
    covariance = between[row[:, None] - row, column[:, None] - column]
    covariance[np.diag_indices(len(at))] *= 1 + 1e-11
    weights = np.zeros_like(w)
    weights[row, column] = np.linalg.solve(covariance, w[row, column])
    true, found = flowed(w), flowed(ifft2(fft2(weights) * fft2(between)).real)
    return 100 * float(np.linalg.norm(found - true) / np.linalg.norm(true))


def same(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return those of the benchmark's own truth."""
    from argparse import Namespace

    import field_benchmark

    import piddm

    options = Namespace(size=NODES, sensors=SENSORS)
    case = field_benchmark.CASES[name]
    seen = field_benchmark.problem(piddm.get_pde(name), case, "inverse", seed, options)
    forward = field_benchmark.problem(piddm.get_pde(name), case, "forward", seed, options)[3]
    if name == FLOW:
        at = (forward.points["w"].numpy()[:, 1:] * NODES).round().astype(int)
        return seen[2][0].numpy(), np.ravel_multi_index(tuple(at.T), (NODES, NODES))
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
    parser.add_argument("--pde", nargs="+", choices=[*WAVES, FLOW],
                        default=list(WAVES))  # fmt: skip
    given = parser.parse_args()
    for name in given.pde:
        own = []
        for seed in range(given.truths):
            fresh = swirled if name == FLOW else drawn
            a, at = same(name, seed) if given.same else fresh(seed)
            own.append(error_of_flow(a, at) if name == FLOW else error(a, at, WAVES[name]))
        own = np.array(own)
        print(f"{name} forward {own.mean():.2f} ± {own.std(ddof=1) / len(own)**0.5:.2f} "
              f"({len(own)}): {' '.join(f'{e:.2f}' for e in own)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
