"""Verify every equation there is, and write a page about each, and a table of them all.

python benchmarks/catalogue.py               # all, some minutes on one core
python benchmarks/catalogue.py --pdes kdv    # one anew; the others stay as they are
python benchmarks/catalogue.py --pages-only  # all pages and figures; measures only what is new

Nothing on the pages is written by hand: numbers are what the checks measured, the rest is what the
equations' own specifications say.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from catalogue_pages import draw, page, table
from machine import describe as machine

import piddm
from piddm import PDE
from piddm.plugins import get_pde
from piddm.symbolic.operators import Param, Slice
from piddm.verification import perform

NODES, DRAWS = 128, {0: 4000, 1: 4000, 2: 400}
"""Inputs are drawn on the grid of the published data, less often where they have more axes."""

PUBLISHED = {
    ("poisson", "a"): 0.2919,
    ("burgers", "u(t=0)"): 0.2737,
    ("navier-stokes", "w(t=0)"): 0.2621,
}
"""Standard deviations measured on the data of DiffusionPDE."""

HEAD = """# The equations

Each equation has a page, linked from its name: formulas, fields, params, domain, inputs, samples,
every check. Written by `python benchmarks/catalogue.py`; numbers in `equations.json`. A row gives
the measurements of `piddm verify NAME` on 32 nodes a side, or 16 where there are three axes, with
manufactured solutions for the orders.

* **residual**: least observed order in space of all rows, for the methods of order 2, 4 and 6.
* **time**: observed order of the time scheme. **spectral**: largest relative error of the rows with
  spectral derivatives, on smooth fields.
* **solution**: least observed order of the derived solver's solution, for methods of order 2, 4.
* **floor**: largest normalised mean-square residual of data, in float64 and float32.
* **zero / truth**: residual of zero fields over residual of the data, all rows together.
* **scales**: largest over smallest term of the worst equation, root mean squares over data.
* **solvers**: relative difference between the equation's own `simulate` and the derived solver.
* **inputs**: standard deviation of each on 128 nodes a side; in brackets the published value.
"""

COLUMNS = ["equation", "residual", "time", "spectral", "solution", "floor 64", "floor 32",
           "zero / truth", "scales", "solvers", "inputs", "seconds", "verdict"]  # fmt: skip


def measure(pde: PDE) -> dict:
    """Run every check and draw the inputs."""
    checks = {c.name: c for c in perform(pde)}
    return {
        "name": pde.name,
        "checks": {
            k: {"verdict": c.verdict, "detail": c.detail, "seconds": c.values["seconds"]}
            for k, c in checks.items()
        },
        "residual": least(checks["order_of_residual"].values),
        "time": least(checks["order_in_time"].values),
        "spectral": largest(checks["spectral_accuracy"].values.get("best")),
        "solution": least(checks["order_of_solution"].values),
        "float64": largest(checks["floor"].values.get("float64")),
        "float32": largest(checks["floor"].values.get("float32")),
        "zero_over_truth": apart(checks["truth_against_zero"].values),
        "scales": ratio(checks["scales"].values),
        "solvers": checks["solver_agreement"].values.get("differences"),
        "inputs": statistics(pde),
        "seconds": sum(c.values["seconds"] for c in checks.values()),
        "passed": all(c.passed for c in checks.values()),
    }


def is_new(pde: PDE, result: dict | None) -> bool:
    """Whether an equation, or an input of it, has not been measured."""
    return result is None or set(result["inputs"]) != set(map(str, pde.inputs))


def least(values: dict) -> dict[str, float | None]:
    """Return the least order of each method; none where all its rows are exact to round-off."""
    found: dict[str, float | None] = {}
    for line in values.get("lines", []):
        method, order = line["method"], line["order"]
        known = found.setdefault(method, order)
        if order is not None:
            found[method] = order if known is None else min(known, order)
    return found


def largest(values: dict[str, float] | None) -> float | None:
    return max(values.values()) if values else None


def apart(values: dict) -> float | None:
    sizes = values.get("mean_square")
    return sizes["zero"] / max(sizes["data"], 1e-300) if sizes else None


def ratio(values: dict) -> float | None:
    """Return the largest term over the smallest, of the equation where they are furthest apart."""
    terms = [[v for v in t.values() if v] for t in values.get("terms", {}).values()]
    return max((max(t) / min(t) for t in terms if t), default=None)


def statistics(pde: PDE) -> dict[str, float]:
    """Return the standard deviation of each input, fields on ``NODES`` nodes a side."""
    generator, found = torch.Generator().manual_seed(0), {}
    grid = pde.grid.resized(NODES)
    for given, prior in pde.inputs.items():
        if isinstance(given, Param):
            found[str(given)] = float(prior.sample_param(DRAWS[0], generator).std())
            continue
        on = grid.without(given.axis) if isinstance(given, Slice) else grid
        values = prior.sample(on, DRAWS[len(on.shape)], generator)
        weights = torch.from_numpy(on.weights())  # of areas, on a sphere
        mean = (weights * values).mean()
        found[str(given)] = float((weights * (values - mean) ** 2).mean().sqrt())
    return found


def row(result: dict) -> list[str]:
    """Return an equation's line of the table."""
    name, agreement = result["name"], result["solvers"]
    inputs = [
        f"{k} {v:.4f}" + (f" ({PUBLISHED[name, k]})" if (name, k) in PUBLISHED else "")
        for k, v in result["inputs"].items()
    ]
    failed = [k for k, c in result["checks"].items() if c["verdict"] == "FAILED"]
    return [
        f"[{name}](equations/{name}.md)", orders(result["residual"]), orders(result["time"]),
        number(result["spectral"]), orders(result["solution"]), number(result["float64"]),
        number(result["float32"]), number(result["zero_over_truth"]), number(result["scales"]),
        number(agreement[-1] if agreement else None), ", ".join(inputs),
        f"{result['seconds']:.0f}", "passed" if not failed else f"fails {', '.join(failed)}",
    ]  # fmt: skip


def orders(found: dict[str, float | None]) -> str:
    return " / ".join("exact" if v is None else f"{v:.2f}" for v in found.values()) or "-"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def index(report: dict) -> str:
    """Return the page of them all."""
    results = sorted(report["equations"], key=lambda r: r["name"])
    return f"{HEAD}\n{table(COLUMNS, map(row, results))}\n\nMeasured on: {report['machine']}.\n"


def main() -> None:
    known = [e.name for e in piddm.list_pdes() if e.plugin == "pdes"]  # not what else is installed
    parser = argparse.ArgumentParser()
    parser.add_argument("--pdes", nargs="+", default=known, choices=known)
    parser.add_argument("--pages-only", action="store_true", help="measure only what is new")
    parser.add_argument("--no-figures", action="store_true", help="leave the figures as they are")
    parser.add_argument("--out", type=Path, default=Path("docs/equations.md"))
    parser.add_argument("--json", type=Path, default=Path("docs/equations.json"))
    options = parser.parse_args()
    old = json.loads(options.json.read_text()) if options.json.exists() else {"equations": []}
    results = {r["name"]: r for r in old["equations"] if r["name"] in known}
    measured = [
        k for k in options.pdes if not options.pages_only or is_new(get_pde(k), results.get(k))
    ]
    for name in measured:
        began = time.perf_counter()
        results[name] = measure(get_pde(name))
        verdict = "passed" if results[name]["passed"] else "FAILED"
        print(f"{name:<24}{verdict:<8}{time.perf_counter() - began:7.1f} s", flush=True)
    report = {
        "machine": machine() if measured else old["machine"],
        "equations": [results[k] for k in sorted(results)],
    }
    folder = options.out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    options.out.write_text(index(report))
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    for name in options.pdes:
        (folder / f"{name}.md").write_text(page(get_pde(name), results[name]))
        if not options.no_figures:
            draw(get_pde(name), folder / f"{name}.png")


if __name__ == "__main__":
    main()
