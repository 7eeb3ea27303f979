"""The page on data runs, block by block, on files in the layouts that it speaks of."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import layouts
from piddm.cli.app import app
from tiny import tiny

PAGE = (Path(__file__).parents[1] / "docs" / "data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|console|toml)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def build_files():
    t, x = np.linspace(0, 2, 41), layouts.centres(48)
    phi, f = layouts.sine_pairs(64, layouts.vertices(16), layouts.vertices(20))
    layouts.save_matlab5(Path("poisson.mat"), f_data=f, phi_data=phi)
    path = Path("1D_Burgers_Sols_Nu0.06.hdf5")
    layouts.pdebench_line(path, layouts.hopf_cole(4, t, x, 0.06 / np.pi), t, x, Nu=0.06)
    fields = {"u": layouts.hopf_cole(4, t, x, 0.03)}
    layouts.the_well(Path("well.hdf5"), fields, t, {"nu": 0.03}, ("x",), x=x)
    psi, laplacian = layouts.sine_pairs(4, layouts.vertices(16), layouts.vertices(20))
    layouts.matlab73(Path("helmholtz73.mat"), f_data=laplacian + psi, psi_data=psi)
    u = layouts.hopf_cole(1, t, np.arange(48) / 48, 0.05)[0]
    np.savez("usol.npz", t=t, x=np.arange(48) / 48, usol=u.T, nu=0.05)
    phi, f = layouts.sine_pairs(4, layouts.vertices(16), layouts.vertices(16))
    layouts.neuraloperator(Path("pairs.pt"), f, phi)
    np.savez(
        "potentials.npz", u=layouts.sine_pairs(24, layouts.vertices(16), layouts.vertices(16))[0]
    )
    ring = np.arange(16) / 16
    temperatures = layouts.travelling(3, np.linspace(0, 1, 17), ring, 0.3)
    np.savez("temperatures.npz", u=temperatures, t=np.linspace(0, 1, 17), x=ring)
    u, v = (layouts.travelling(40, ring, ring, speed) for speed in (1, -1))
    np.savez("waves.npz", u=u, v=v)


def run_command(line):
    words = shlex.split(line.removeprefix("$ piddm "))
    if words[0] == "distill":  # the page's own settings would train
        settings = {k: v for k, v in tiny().items() if k not in ("data.size", "data.train")}
        for name, value in settings.items():
            words += ["--set", f"{name}={value}"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, f"{line}: {found.output}"


def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, home):
    pytest.importorskip("xarray")
    monkeypatch.chdir(tmp_path)
    build_files()
    names = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, "data.md", "exec"), names)
        elif kind == "console":
            for line in text.strip().splitlines():
                run_command(line)
        else:
            assert Path("map.toml").read_text() == text
    assert Path("answer/solution.h5").exists()
    assert Path("waves-answer/solution.h5").exists()


def test_every_format_has_its_part():
    for name in ("PDEBench", "The Well", "MATLAB", "npy", "torch", "netCDF", "HDF5"):
        assert re.search(rf"^### .*{name}", PAGE, re.MULTILINE), name
