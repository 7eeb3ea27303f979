"""Damage files of every kind that piddm reads by the thousand, and kill runs; count what happens.

    python benchmarks/mutations.py --count 10000 --kills 200

Of each damaged file: *same*, it was read and says what was written; *refused*, in a line; *other*,
it was taken with other numbers (of files that people write and that carry no digest, this is no
fault: half of a number is a number); *traceback*, any error but piddm's own; *hang*, more than
20 s; *crash*, the process died; *large*, more than 2 GB. Of each kill: whether the same command,
run to its end, leaves the same result and nothing behind.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from damage import mutated
from kills import kill

import piddm
from piddm.config import Config, OptimiserConfig, resolve
from piddm.data import dataset
from piddm.grids.grid import Axis, Grid
from piddm.metrics.scores import Metrics, Scores
from piddm.plugins.loader import Plugins
from piddm.runs.folder import Manifest
from piddm.runs.histories import History
from piddm.tasks.csv_files import write_csv
from piddm.tasks.hdf5_files import write_hdf5
from piddm.tasks.observation_files import read_observations
from piddm.tasks.observations import Observations
from piddm.tasks.solution import Solution
from piddm.tasks.solution_files import read_solution, write_solution
from piddm.tasks.task import Task
from piddm.tools import hdf5_reading
from piddm.tools.errors import PiddmError
from piddm.tools.files import read_json, read_tensors, write_json, write_tensors
from piddm.training.optimisation import Optimisation

HANG, LARGE = 20.0, 2_000_000  # seconds; kB
FORK = multiprocessing.get_context("fork")
GRID = Grid(t=Axis(0, 1, 4, time=True), x=Axis(0, 1, 8, periodic=True))
DRAW = torch.Generator().manual_seed(0)
SEEN = Observations.at_nodes(GRID, {"u": torch.rand(GRID.shape, generator=DRAW)}, sigma=0.1)

PLUGIN = """from piddm import PDE, Axis, Grid
from piddm.priors import GaussianField
from piddm.symbolic import D, Field, Param, t, x

u = Field("u", doc="density")
nu = Param("nu", 0.005, doc="diffusivity")
SEPARATION = PDE(
    name="separation",
    summary="two phases that separate",
    grid=Grid(t=Axis(0, 1, 64, time=True), x=Axis(0, 1, 64, periodic=True)),
    fields=[u],
    params=[nu],
    equations={"balance": D(u, t) - nu * D(u, x, 2) - (u - u**3)},
    inputs={u.at(t=0): GaussianField(alpha=2.5, tau=7.0)},
)
"""


class Kind(NamedTuple):
    """A kind of file: how it is made and read, and whether it carries a digest."""

    name: str
    make: Callable[[Path], Any]
    take: Callable[[Path], Any]
    proven: bool = True


def _dataset(path: Path) -> None:
    fields = {"u": torch.rand(3, *GRID.shape, generator=DRAW), "nu": torch.rand(3, generator=DRAW)}
    dataset.write(dataset.Dataset("burgers", GRID, fields, {"m": 1.5}, {"m": 1e-9}, 7), path)


def _solution(path: Path) -> None:
    members = {"u": torch.rand(2, *GRID.shape, generator=DRAW, dtype=torch.float64)}
    numbers = {k: torch.rand(2, dtype=torch.float64) for k in ("residual", "misfit")}
    numbers["tolerance"] = torch.ones(SEEN.count, dtype=torch.float64)
    task = Task("reconstruct", SEEN)
    made = Solution(task, "burgers", GRID, "latent", members, calls=3, seconds=1.0, asked=2,
                    **numbers)  # fmt: skip
    write_solution(made, path)


def _optimisation(path: Path) -> Optimisation:
    module, cpu = torch.nn.Linear(4, 4), torch.device("cpu")
    return Optimisation("student", module, OptimiserConfig(steps=8), path, "mark", cpu)


def _checkpoint(path: Path) -> None:
    job = _optimisation(path)
    steps = job.run(lambda module, step: {"loss": module(torch.ones(2, 4)).square().mean()})
    for _ in range(3):
        next(steps)
    job.save()


def _restored(path: Path) -> Any:
    job = _optimisation(path)
    return job.step, job.history, job.average.state_dict()


def _pairs(path: Path) -> None:
    told = {"piddm_kind": "pairs", "fingerprint": "mark", "seconds": "1.5"}
    write_tensors(path, {"data": torch.rand(8, 1, 4, 8, generator=DRAW)}, told)


def _metrics(path: Path) -> None:
    needed = [name for name, field in Scores.model_fields.items() if field.is_required()]
    numbers = dict.fromkeys(needed, 0.1) | {"count": 8, "distance_count": 2}
    scores = Scores(**{**numbers, "seed": 1, "nfe": 9, "pde_error_by_row": {"m": 0.1}})
    write_json(path, Metrics(truth=scores, teacher=scores, student=scores, floor={"m": 1e-9}))


def _manifest(path: Path) -> None:
    told = {"created": "2026-01-01", "software": {"torch": "2"}, "fingerprints": {"simulate": "a"}}
    write_json(path, Manifest(**told, seconds={"simulate": 1.5}))


def _history(path: Path) -> None:
    write_json(path, History(lines=[{"stage": "student", "step": k, "loss": 1 / k}
                                    for k in range(1, 9)]))  # fmt: skip


def _observed(path: Path) -> Any:
    return read_observations(path, piddm.get_pde("burgers"), GRID)


def _plugin(path: Path) -> Any:
    """Load a plugin that is a file, as ``--plugin`` does; its failure is a record with one line."""
    found = Plugins(entry_points=(), paths=[path])
    (record,) = [r for r in found.records if r.name == path.name]
    if record.status != "ok":
        raise PiddmError(record.error)
    return [(found.get_pde(n).equations, found.get_pde(n).params) for n in record.pdes]


def _settings(path: Path) -> Any:
    return resolve("burgers", "quick", path)


TOML = 'seed = 3\n[student]\nsteps = 500\nlearning_rate = 1e-3\nname = "one-step"\n'
YAML = (
    "seed: 3\nteacher: &t\n  steps: 7\nstudent:\n  <<: *t\n  batch: 4\nnetwork: {widths: [8, 8]}\n"
)
KINDS = [
    Kind("dataset.h5", _dataset, dataset.read),
    Kind("seen.h5", lambda path: write_hdf5(SEEN, path, "burgers"), _observed),
    Kind("solution.h5", _solution, read_solution),
    Kind("pairs.safetensors", _pairs, lambda path: read_tensors(path, "pairs")),
    Kind("student.checkpoint", _checkpoint, _restored),
    Kind("config.json", lambda path: write_json(path, resolve("burgers", seed=3)),
         lambda path: read_json(path, Config)),
    Kind("student.history.json", _history, lambda path: read_json(path, History)),
    Kind("manifest.json", _manifest, lambda path: read_json(path, Manifest)),
    Kind("metrics.json", _metrics, lambda path: read_json(path, Metrics)),
    Kind("seen.csv", lambda path: write_csv(SEEN, path), _observed, proven=False),
    Kind("mine.toml", lambda path: path.write_text(TOML), _settings, proven=False),
    Kind("mine.yaml", lambda path: path.write_text(YAML), _settings, proven=False),
    Kind("mine.py", lambda path: path.write_text(PLUGIN), _plugin, proven=False),
]  # fmt: skip


def told(value: Any) -> Any:
    """Return what a reader found as text with all its digits."""
    if isinstance(value, torch.Tensor):
        return repr((value.dtype, value.tolist()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: told(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):  # in whatever order a reader finds its entries
        return [(repr(k), told(value[k])) for k in sorted(value, key=repr)]
    if isinstance(value, (list, tuple)):
        return [told(v) for v in value]
    return repr(value) if not hasattr(value, "model_dump") else repr(value.model_dump())


def _peak(pid: int | str) -> int:
    """Return the most memory that a process had, kB."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(x.split()[1]) for x in text.splitlines() if x.startswith("VmHWM")), 0)


def _work(kind: Kind, cases: range, seed: int, folder: Path, line: Any) -> None:
    """Read damaged files one after another, and tell the outcome of each."""
    torch.set_num_threads(1)
    path = folder / kind.name
    kind.make(path)
    whole, sound = path.read_bytes(), told(kind.take(path))
    for case in cases:
        path.write_bytes(mutated(whole, random.Random(f"{seed} {kind.name} {case}")))
        what = ""
        try:
            outcome = "same" if told(kind.take(path)) == sound else "other"
        except PiddmError as error:
            outcome = "refused" if "\n" not in str(error) else "traceback"
        except BaseException as error:
            outcome, what = "traceback", repr(error)[:300]
        reader = hdf5_reading._current
        peak = max(_peak("self"), 0 if reader is None else _peak(reader._process.pid))
        line.send((case, outcome, what, peak))
    line.send(None)


def damage(count: int, seed: int = 0, kinds: list[Kind] = KINDS) -> dict[str, Counter[str]]:
    """Read so many damaged files of each kind; return the outcomes by kind."""
    found = {}
    for kind in kinds:
        outcomes = found[kind.name] = Counter[str]()
        first, slowest = 0, 0.0
        while first < count:
            with tempfile.TemporaryDirectory() as folder:
                ours, theirs = FORK.Pipe()
                todo = (kind, range(first, count), seed, Path(folder), theirs)
                worker = FORK.Process(target=_work, args=todo)
                worker.start()
                theirs.close()
                begun = time.monotonic()
                ended = False
                while not ended:
                    try:
                        said = ours.recv() if ours.poll(HANG + 10 * (first == 0)) else "hang"
                    except EOFError:
                        said = "crash"
                    if said is None:
                        ended, first = True, count
                    elif isinstance(said, str):
                        print(f"{kind.name} case {first}: {said}", flush=True)
                        outcomes[said] += 1
                        ended, first = True, first + 1
                        worker.kill()
                    else:
                        case, outcome, what, peak = said
                        slowest = max(slowest, time.monotonic() - begun)
                        begun, first = time.monotonic(), case + 1
                        outcomes[outcome] += 1
                        outcomes["large"] += peak > LARGE
                        outcomes["most MB"] = max(outcomes["most MB"], peak // 1000)
                        if outcome == "traceback" or (outcome == "other" and kind.proven):
                            print(f"{kind.name} case {case}: {outcome} {what}", flush=True)
                worker.join()
        outcomes["slowest ms"] = round(1000 * slowest)
        print(kind.name, dict(outcomes), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="damaged files, of all kinds")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds of files, separated by commas")
    parser.add_argument("--out", type=Path, help="JSON file of the counts")
    given = parser.parse_args()
    kinds = [k for k in KINDS if not given.only or k.name in given.only.split(",")]
    found: dict[str, Any] = damage(-(-given.count // len(kinds)), given.seed, kinds)
    total = sum(found.values(), Counter[str]())
    proven = sum(found[k.name]["other"] for k in kinds if k.proven)
    print("all", {k: total[k] for k in ("same", "refused", "other", "traceback", "hang", "crash",
                                        "large")}, "other with digest", proven)  # fmt: skip
    if given.kills:
        found["kills"] = kill(given.kills, given.seed)
        print("kills", dict(found["kills"]))
    if given.out:
        write_json(given.out, {k: dict(v) for k, v in found.items()})


if __name__ == "__main__":
    main()
