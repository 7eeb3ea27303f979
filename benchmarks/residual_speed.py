"""Is a compiled residual as fast as a careful hand-written one? Eager torch, one thread.

    python benchmarks/residual_speed.py [--threads 1] [--seconds 1] [--json]

A ratio above 1 means that the compiled one is the faster. Repetitions of all contestants are
interleaved in one process, so that a noisy machine hits all of them; the rival is whichever
hand-written version is the fastest in that very case. Values are checked before anything is timed.

Contestants take turns call by call, so that each finds the caches as another left them; the ratio
"in a row" is of turns of twenty calls. Both are taken with an allocator that keeps what is freed,
and in another process with the default one, which returns it to the system: page faults then.
"""

import argparse
import contextlib
import ctypes
import functools
import gc
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from machine import describe
from torch import Tensor

from piddm import PDE, Axis, Grid, get_pde
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, laplace, t, x, y

Fields = dict[str, Tensor]
Residual = Callable[[Fields], Fields]
Neighbours = Callable[[Tensor, int], tuple[Tensor, Tensor]]


def navier_stokes(times: int, n: int) -> PDE:
    import sympy

    w, psi, z = Field("w"), Field("psi"), 2 * sympy.pi * (x + y)
    advection = D(psi, y) * D(w, x) - D(psi, x) * D(w, y)
    forcing = 0.1 * (sympy.sin(z) + sympy.cos(z))
    space = Axis(0, 1, n, periodic=True)
    return PDE(
        name="navier-stokes",
        summary="2-D vorticity and stream function",
        grid=Grid(t=Axis(0, 1, times, time=True), x=space, y=space),
        fields=[w, psi],
        equations={
            "vorticity": D(w, t) + advection - 1e-3 * laplace(w, [x, y]) - forcing,
            "streamfunction": laplace(psi, [x, y]) + w,
        },
        inputs={w.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
    )


# The rivals. All fold constants into the fewest passes: a factor common to several terms is applied
# once, to the last sum, and the average of Crank-Nicolson to the sum of all it holds.


def padded(v: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    n = v.shape[dim]
    wide = torch.cat([v.narrow(dim, n - 1, 1), v, v.narrow(dim, 0, 1)], dim)
    return wide.narrow(dim, 0, n), wide.narrow(dim, 2, n)


def rolled(v: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Copy more than padding does, but backward it is a copy again, not a sum with zeros."""
    return v.roll(1, dim), v.roll(-1, dim)


def burgers_by_hand(grid: Grid, neighbours: Neighbours) -> Residual:
    dt, dx = grid.spacing
    # Half of each, for the average: (u^2/2)_x is (r - l)(r + l)/4dx.
    advection, diffusion = 1 / (8 * dx), 0.01 / (2 * dx**2)

    def residual(fields: Fields) -> Fields:
        u = fields["u"]
        left, right = neighbours(u, 2)
        total = right + left
        curvature = total.sub(u, alpha=2)
        space = torch.addcmul(curvature, right - left, total, value=-advection / diffusion)
        rate = (u[:, 1:] - u[:, :-1]) * (1 / dt)
        return {"momentum": rate.sub(space[:, 1:] + space[:, :-1], alpha=diffusion)}

    return residual


def darcy_by_hand(grid: Grid, wall: Callable[[Tensor], Tensor]) -> Residual:
    dx, dy = grid.spacing
    one = torch.tensor(1.0)

    def residual(fields: Fields) -> Fields:
        a, u = fields["a"], fields["u"]
        b, v = a[:, :, 1:-1], u[:, :, 1:-1]
        across = (b[:, 1:] + b[:, :-1]) * (v[:, 1:] - v[:, :-1])
        b, v = a[:, 1:-1], u[:, 1:-1]
        along = (b[:, :, 1:] + b[:, :, :-1]) * (v[:, :, 1:] - v[:, :, :-1])
        balance = across[:, 1:] - across[:, :-1]
        balance = balance.add(along[:, :, 1:] - along[:, :, :-1], alpha=(dx / dy) ** 2)
        return {"mass": one.add(balance, alpha=0.5 / dx**2), "wall": wall(u)}

    return residual


def gathered_wall(n: int) -> Callable[[Tensor], Tensor]:
    node = torch.arange(n * n).view(n, n)
    nodes = torch.cat([node[0], node[-1], node[1:-1, 0], node[1:-1, -1]])
    return lambda u: u.flatten(1).index_select(1, nodes)


def sliced_wall(n: int) -> Callable[[Tensor], Tensor]:
    return lambda u: torch.cat([u[:, 0], u[:, -1], u[:, 1:-1, 0], u[:, 1:-1, -1]], 1)


def navier_stokes_by_hand(grid: Grid, neighbours: Neighbours) -> Residual:
    dt, dx, dy = grid.spacing
    nodes = torch.arange(grid.shape[1]) * (2 * math.pi * dx)
    z = nodes[:, None] + nodes
    minus_forcing = -0.1 * (z.sin() + z.cos())
    squares, advection = (dx / dy) ** 2, 1 / (4 * dx * dy)
    diffusion = 1e-3 / dx**2

    def curvature(v: Tensor, south: Tensor, north: Tensor, west: Tensor, east: Tensor) -> Tensor:
        return (south + north).add(west + east, alpha=squares).sub(v, alpha=2 + 2 * squares)

    def residual(fields: Fields) -> Fields:
        w, psi = fields["w"], fields["psi"]
        w_sides, psi_sides = (neighbours(v, 2) + neighbours(v, 3) for v in (w, psi))
        w_x, w_y = w_sides[1] - w_sides[0], w_sides[3] - w_sides[2]
        psi_x, psi_y = psi_sides[1] - psi_sides[0], psi_sides[3] - psi_sides[2]
        space = curvature(w, *w_sides)
        space = space.addcmul(psi_x, w_y, value=advection / diffusion)
        space = space.addcmul(psi_y, w_x, value=-advection / diffusion)
        rate = minus_forcing.add(w[:, 1:] - w[:, :-1], alpha=1 / dt)
        return {
            "vorticity": rate.sub(space[:, 1:] + space[:, :-1], alpha=diffusion / 2),
            "streamfunction": w.add(curvature(psi, *psi_sides), alpha=1 / dx**2),
        }

    return residual


@dataclass
class Case:
    """A compiled residual, the hand-written ones of the same equation, and what to give them."""

    name: str
    compiled: Residual
    rivals: dict[str, Residual]
    fields: Fields


def cases() -> list[Case]:
    generator = torch.Generator().manual_seed(0)

    def case(name: str, pde: PDE, grid: Grid, batch: int, rivals: dict[str, Residual]) -> Case:
        shape = (batch, *grid.shape)
        fields = {k: torch.rand(shape, generator=generator) + 0.5 for k in pde.field_names}
        return Case(name, pde.bind(grid), rivals, fields)

    sides = {"cat": padded, "roll": rolled}
    walls = {"index_select": gathered_wall, "slices": sliced_wall}
    made = []
    for n in (64, 128):
        pde, label = get_pde("burgers"), f"16 x {n} x {n}"
        grid = pde.grid.resized(n)
        rivals = {k: burgers_by_hand(grid, f) for k, f in sides.items()}
        made.append(case(f"burgers {label}", pde, grid, 16, rivals))
        pde = get_pde("darcy")
        grid = pde.grid.resized(n)
        rivals = {k: darcy_by_hand(grid, f(n)) for k, f in walls.items()}
        made.append(case(f"darcy {label}", pde, grid, 16, rivals))
    pde = navier_stokes(8, 64)
    rivals = {k: navier_stokes_by_hand(pde.grid, f) for k, f in sides.items()}
    made.append(case("navier-stokes 4 x 8 x 64 x 64", pde, pde.grid, 4, rivals))
    return made


def forward(residual: Residual, fields: Fields) -> Callable[[], Fields]:
    def run() -> Fields:
        with torch.no_grad():
            return residual(fields)

    return run


def gradient(residual: Residual, fields: Fields) -> Callable[[], Fields]:
    leaves = {k: v.clone().requires_grad_() for k, v in fields.items()}

    def run() -> Fields:
        loss = sum(r.square().mean() for r in residual(leaves).values())
        return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    return run


MODES = {"forward": forward, "forward + backward": gradient}


def check(case: Case) -> None:
    """Compare values and gradients: no contestant may discretise anything else."""
    fields = {k: v.double() for k, v in case.fields.items()}
    for rival in case.rivals.values():
        for mode in MODES.values():
            ours, theirs = mode(case.compiled, fields)(), mode(rival, fields)()
            # Not double's own tolerance: the rivals' forcing is single precision.
            torch.testing.assert_close(dict(theirs), dict(ours), rtol=1e-5, atol=1e-5)


def keep_freed_memory() -> None:
    """Keep glibc from giving freed memory back to the system.

    Whether it does depends on what else lies on the heap; where it does, page faults on every call
    take as long as the arithmetic, and the ratios become a matter of luck.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
        library.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, the largest that it takes


def interleaved(
    contestants: dict[str, Callable[[], object]], seconds: float, block: int = 1
) -> dict[str, float]:
    """Return each contestant's median seconds, where each has its turn of so many calls."""
    times: dict[str, list[float]] = {k: [] for k in contestants}
    for run in [*contestants.values()] * 3:
        run()
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[next(iter(times))]) < 5:
        for name, run in contestants.items():
            for _ in range(block):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    gc.enable()
    return {k: statistics.median(v) for k, v in times.items()}


def copy_bandwidth(bytes_moved: int, seconds: float) -> float:
    """Return bytes/s of an out-of-place copy that reads and writes so many in all."""
    source = torch.zeros(bytes_moved // 8)
    target = torch.empty_like(source)
    contestants = {"clone": source.clone, "copy": lambda: target.copy_(source)}
    return bytes_moved / min(interleaved(contestants, seconds).values())


def line(case: str, mode: str, ours: float, theirs: float, note: str = "", **more: object) -> dict:
    row = {"case": case, "mode": mode, "compiled": ours, "other": theirs, "ratio": theirs / ours}
    return {**row, "note": note, **more}


def by_hand(case: Case, seconds: float) -> list[dict]:
    # Each input read once and each output written once: what no implementation can avoid.
    tensors = [*case.fields.values(), *forward(case.compiled, case.fields)().values()]
    compulsory = sum(v.numel() * v.element_size() for v in tensors)
    copy, rows = copy_bandwidth(compulsory, 0.2), []
    for mode, make in MODES.items():
        contestants = {"compiled": case.compiled, **case.rivals}
        runs = {k: make(r, case.fields) for k, r in contestants.items()}
        times, steady = (interleaved(runs, seconds / 2, block) for block in (1, 20))
        ours, again = times.pop("compiled"), steady.pop("compiled")
        rival = min(times, key=lambda k: times[k])
        more = {"rival": rival, "all": times, "in_a_row": min(steady.values()) / again}
        if mode == "forward":
            part = compulsory / ours / copy
            more |= {"note": f"{part:.1%} of {copy / 1e9:.0f} GB/s", "of_copy_bandwidth": part}
        rows.append(line(case.name, mode, ours, times[rival], **more))
    return rows


def inductor(case: Case, seconds: float) -> list[dict]:
    """Time the whole call against the same call taken whole by ``torch.compile``."""
    rows = []
    for mode, make in MODES.items():
        torch._dynamo.reset()
        plain, start = make(case.compiled, case.fields), time.perf_counter()
        run = make(torch.compile(case.compiled, fullgraph=True), case.fields)
        try:
            result = dict(run())
        except Exception as error:
            first = (str(error).strip() or "no message").splitlines()[0]
            rows.append(line(case.name, mode, 1.0, math.nan, f"{type(error).__name__}: {first}"))
            continue
        note = f"compiled in {time.perf_counter() - start:.0f} s"
        torch.testing.assert_close(result, dict(plain()), rtol=1e-3, atol=1e-2)
        times = interleaved({"eager": plain, "inductor": run}, seconds)
        rows.append(line(case.name, mode, times["eager"], times["inductor"], note))
    return rows


def pypde(seconds: float) -> list[dict]:
    """Time spatial operators alone, at all nodes of a periodic square; values are checked.

    py-pde has no residual in space-time, no batch and no gradient. Both sides get one right side
    with the same stencils (second order, central), float32; py-pde's loop over samples is compiled.
    """
    import numba
    import numpy as np
    import pde as py_pde

    n, shape = 128, (16, 128, 128)
    axis, a, u = Axis(0, 1, n, periodic=True), Field("a"), Field("u")
    square = py_pde.CartesianGrid([(0, 1), (0, 1)], n, periodic=True)
    lap, d_dx, d_dy, d2_dy2 = (
        square.make_operator(k, bc="periodic", backend="numba", dtype=np.float32)
        for k in ("laplace", "d_dx", "d_dy", "d2_dy2")
    )
    half, nu, one = np.float32(0.5), np.float32(0.01), np.float32(1)

    def heat(a, u, out):
        for i in range(len(u)):
            out[i] = lap(u[i])

    def burgers(a, u, out):
        for i in range(len(u)):
            out[i] = d_dy(half * u[i] * u[i]) - nu * d2_dy2(u[i])

    def darcy(a, u, out):
        for i in range(len(u)):
            slopes = d_dx(a[i]) * d_dx(u[i]) + d_dy(a[i]) * d_dy(u[i])
            out[i] = a[i] * lap(u[i]) + slopes + one

    flux = a * laplace(u, [x, y]) + D(a, x) * D(u, x) + D(a, y) * D(u, y) + 1
    contents = {
        "laplace(u)": (heat, laplace(u, [x, y])),
        "(u^2/2)_y - nu u_yy": (burgers, D(u**2 / 2, y) - 0.01 * D(u, y, 2)),
        "a laplace(u) + a_x u_x + a_y u_y + 1": (darcy, flux),
    }
    tensors = {k: torch.rand(shape, generator=torch.Generator().manual_seed(1)) for k in "au"}
    arrays, rows = [v.numpy() for v in tensors.values()], []
    for label, (function, expression) in contents.items():
        law = dict.fromkeys((a, u), GaussianField(alpha=2.5, tau=7.0))
        out = np.empty(shape, np.float32)
        ours = PDE(label, label, Grid(x=axis, y=axis), [a, u], {"value": expression}, law)
        run = forward(ours.bind(), tensors)
        rate = functools.partial(numba.njit(fastmath=True)(function), *arrays, out)
        rate()
        torch.testing.assert_close(torch.from_numpy(out), run()["value"], rtol=1e-3, atol=0.1)
        times = interleaved({"compiled": run, "py-pde": rate}, seconds)
        rows.append(line(label, "forward", times["compiled"], times["py-pde"]))
    return rows


def default_allocator(seconds: float, threads: int) -> list[dict]:
    """Return the rows of :func:`by_hand` from a process whose allocator is as users have it."""
    command = [sys.executable, __file__, "--seconds", str(seconds), "--threads", str(threads)]
    run = subprocess.run([*command, "--default-allocator"], capture_output=True, check=True)
    return json.loads(run.stdout)


RATIOS = ("in_a_row", "default_allocator", "default_allocator_in_a_row")
"""Other ratios of a row: calls of one contestant in a row; memory as glibc has it by default."""


def show(other: str, rows: list[dict]) -> None:
    print(f"\n{'times in ms':<37} {'mode':<18} {'compiled':>9} {other:>9}  ratio")
    for r in rows:
        print(
            f"{r['case']:<37} {r['mode']:<18} {r['compiled'] * 1e3:9.3f} {r['other'] * 1e3:9.3f} "
            f"{r['ratio']:6.2f}  {r.get('rival', '')} {r['note']}"
            + "".join(f"; {k.replace('_', ' ')} {r[k]:.2f}" for k in RATIOS if k in r)
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each line of the tables")
    parser.add_argument("--json", action="store_true", help="print machine-readable results only")
    parser.add_argument("--default-allocator", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    os.environ["NUMBA_NUM_THREADS"] = str(options.threads)  # read when numba is first imported
    if options.default_allocator:
        print(json.dumps([row for case in cases() for row in by_hand(case, options.seconds)]))
        return
    keep_freed_memory()
    chosen, tables, notes = cases(), {}, []
    for case in chosen:
        check(case)
    large = copy_bandwidth(1 << 29, 0.5) / 1e9
    tables["by hand"] = [row for case in chosen for row in by_hand(case, options.seconds)]
    users = default_allocator(options.seconds, options.threads)
    for row, theirs in zip(tables["by hand"], users, strict=True):
        row["default_allocator"] = theirs["ratio"]
        row["default_allocator_in_a_row"] = theirs["in_a_row"]
    if any(shutil.which(c) for c in (os.environ.get("CXX", "g++"), "clang++", "cl")):
        tables["inductor"] = [row for c in chosen[-3:] for row in inductor(c, options.seconds)]
    else:
        notes.append("torch.compile not timed: inductor finds no C++ compiler on this machine")
    try:
        tables["py-pde"] = pypde(options.seconds)
    except ImportError:
        notes.append("py-pde not timed: it is not installed (pip install py-pde)")
    if options.json:
        head = {"machine": describe(), "large_copy_gb_s": large, "notes": notes}
        print(json.dumps(head | tables, indent=2))
        return
    print(f"{describe()}\nlarge copy {large:.1f} GB/s; per cent: compulsory traffic over time, "
          "of the speed of a copy as large")  # fmt: skip
    for other, rows in tables.items():
        show(other, rows)
    print(*notes, sep="\n")


if __name__ == "__main__":
    main()
