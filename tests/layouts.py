"""Small files in the exact layouts of published data, built from known solutions."""

from __future__ import annotations

import h5py
import numpy as np
import scipy.io
import torch


def sine_pairs(count, x, y, seed=0, waves=3):
    """Random sums of sines that vanish on the unit square's edge, and their Laplacians."""
    draw = np.random.default_rng(seed)
    X, Y = np.meshgrid(x, y, indexing="ij")
    phi, laplacian = np.zeros((2, count, len(x), len(y)))
    for p in range(1, waves + 1):
        for q in range(1, waves + 1):
            amplitude = draw.normal(size=(count, 1, 1)) / (p * p + q * q)
            mode = np.sin(np.pi * p * X) * np.sin(np.pi * q * Y)
            phi += amplitude * mode
            laplacian -= amplitude * np.pi**2 * (p * p + q * q) * mode
    return phi, laplacian


def vertices(n):
    return np.linspace(0, 1, n)


def centres(n, lower=0.0, upper=1.0):
    return lower + (np.arange(n) + 0.5) * (upper - lower) / n


def travelling(count, t, x, speed, seed=0):
    """u(t, x) = sum of A sin(2 pi k (x - speed t) + phase) on (0, 1): linear advection."""
    draw = np.random.default_rng(seed)
    T, X = np.meshgrid(t, x, indexing="ij")
    out = np.zeros((count, len(t), len(x)))
    for k in (1, 2):
        amplitude, phase = draw.uniform(0.3, 1, (2, count, 1, 1))
        out += amplitude * np.sin(2 * np.pi * k * (X - speed * T) + 6 * phase)
    return out


def hopf_cole(count, t, x, nu, seed=0):
    """Exact solutions of u_t + u u_x = nu u_xx, period 1: u = -2 nu theta_x / theta."""
    draw = np.random.default_rng(seed)
    T, X = np.meshgrid(t, x, indexing="ij")
    theta, slope = np.ones((count, len(t), len(x))), np.zeros((count, len(t), len(x)))
    for k in (1, 2):
        a = draw.uniform(0.1, 0.4, (count, 1, 1))
        phase = draw.uniform(0, 2 * np.pi, (count, 1, 1))
        wave = 2 * np.pi * k
        decay = a * np.exp(-nu * wave**2 * T)
        theta += decay * np.cos(wave * X + phase)
        slope -= wave * decay * np.sin(wave * X + phase)
    return -2 * nu * slope / theta


def save_matlab5(path, **arrays):
    scipy.io.savemat(path, arrays)


def diffusion_pde_poisson(path, n=32, count=4):
    phi, f = sine_pairs(count, vertices(n), vertices(n))
    scipy.io.savemat(path, {"f_data": f, "phi_data": phi})


def diffusion_pde_helmholtz(path, n=32, count=4):
    psi, laplacian = sine_pairs(count, vertices(n), vertices(n))
    scipy.io.savemat(path, {"f_data": laplacian + psi, "psi_data": psi})


def matlab73(path, **arrays):
    """As MATLAB writes it: HDF5 behind a header of 512 bytes, axes reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays.items():
            written = file.create_dataset(name, data=np.ascontiguousarray(values.T))
            kind = {"f4": "single", "f8": "double"}[values.dtype.str[1:]]
            written.attrs["MATLAB_class"] = np.bytes_(kind)
        file.create_group("#refs#")
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + b" " * 8 + b"\0\2IM")


def pdebench_line(path, u, t, x, **attributes):
    with h5py.File(path, "w") as file:
        file["tensor"] = u.astype(np.float32)
        file["x-coordinate"] = x.astype(np.float32)
        step = t[1] - t[0]
        file["t-coordinate"] = np.append(t, t[-1] + step).astype(np.float32)
        file.attrs.update(attributes)


def pdebench_groups(path, u, t, **space):
    with h5py.File(path, "w") as file:
        for i, own in enumerate(u):
            group = file.create_group(f"{i:04d}")
            group.create_dataset("data", data=own.astype(np.float32), compression="gzip")
            for name, values in (("t", t), *space.items()):
                group[f"grid/{name}"] = values.astype(np.float32)


def the_well(path, fields, t, scalars=None, periodic=(), **space):
    scalars = scalars or {}
    count = len(next(iter(fields.values())))
    with h5py.File(path, "w") as file:
        file.attrs.update({"dataset_name": "test", "grid_type": "cartesian",
                           "n_spatial_dims": len(space), "n_trajectories": count})  # fmt: skip
        file.attrs["simulation_parameters"] = list(scalars)
        file.attrs.update(scalars)
        fixed = {"sample_varying": False, "time_varying": False}
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = list(space)
        for name, values in (("time", t), *space.items()):
            dimensions.create_dataset(name, data=values.astype(np.float32)).attrs.update(fixed)
        conditions = file.create_group("boundary_conditions")
        for name, values in space.items():
            kind = "PERIODIC" if name in periodic else "WALL"
            group = conditions.create_group(f"{name}_{kind.lower()}")
            group.attrs.update({"bc_type": kind, **fixed})
            group.attrs["associated_dims"] = [name]
            group.attrs["associated_fields"] = []
            group["mask"] = np.isin(np.arange(len(values)), (0, len(values) - 1))
        for rank in range(3):
            group = file.create_group(f"t{rank}_fields")
            own = {k: v for k, v in fields.items() if v.ndim == 2 + len(space) + rank}
            group.attrs["field_names"] = list(own)
            for name, values in own.items():
                written = group.create_dataset(name, data=values.astype(np.float32))
                written.attrs.update({"sample_varying": True, "time_varying": True})
                written.attrs["dim_varying"] = [True] * len(space)
        group = file.create_group("scalars")
        group.attrs["field_names"] = list(scalars)
        for name, value in scalars.items():
            group.create_dataset(name, data=value).attrs.update(fixed)


def neuraloperator(path, a, u):
    torch.save({"x": torch.from_numpy(a), "y": torch.from_numpy(u)}, path)
