"""Train the models of plugins/piddm_students: ``python benchmarks/train_students.py NAME...``.

Each is a run of the recipe below, from its first sample of data to its scores, and then weights in
half precision, scored again as they are kept. Interrupted, the same command goes on. ``--quick``
makes a model of the quick preset, to see that all works; ``--out`` is where models go. ``--scores``
trains nothing: it scores a model that is there, with its teacher, on data made anew; with
``--polish`` it first gets the last step of so many products (:mod:`piddm.students.polish`), with
``--keep`` its weights are first written anew, as models are kept now, with ``--settle`` after what
is fitted when training is over (:meth:`piddm.students.student.Student.settle`).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from machine import describe

from piddm import get_pde
from piddm.api import prepare
from piddm.config import changed
from piddm.metrics.scores import Metrics, Scores
from piddm.pretrained import Pretrained
from piddm.runs.evaluation import DRAWS, evaluate
from piddm.runs.model_card import CARD, STUDENT, TEACHER, digest_of, read_card
from piddm.runs.model_weights import keep, make
from piddm.tools.files import read_json, read_tensors, write_json, write_tensors
from piddm.tools.progress import follow

FOLDER = Path(__file__).parents[1] / "plugins" / "piddm_students"

STAGED: dict[str, Any] = {
    "data.train": 4096,
    "packing.soften": 0,
    "packing.symmetric": True,
    # Their inputs are Gaussian, and no student learns from pairs.
    "pairs.count": 64,
    "pairs.refresh": 0,
    "student.name": "staged",
    "student.inputs.widths": [32, 48, 64],
    "student.learning_rate": 2e-3,
    "student.polish": 4,
}
"""What equations with Gaussian inputs share."""

LINEAR: dict[str, Any] = {
    **STAGED,
    "teacher.steps": 100,
    "student.operator.widths": [32, 48, 64],
    "student.steps": 300,
}
"""Of linear equations among them networks learn little; the teacher is a sketch, and stays here."""

MEDIUM: dict[str, Any] = {
    "data.train": 4096,
    "packing.rank": 128,
    "network.widths": [56, 80, 112],
    "teacher.steps": 2000,
    "pairs.count": 2048,
    "pairs.refresh": 0,
    "student.operator.widths": [40, 56, 80],
    "student.steps": 1000,
}
"""A medium of two phases: its law is not Gaussian, and the student learns it from the teacher."""

FINE: dict[str, Any] = {
    "data.size": 128,
    "data.train": 2048,
    "data.held_out": 256,
    "evaluation.count": 256,
}
"""What models on 128 nodes a side share. Their laws are those on 64, so that what is a length in
nodes doubles, and networks have one level more."""

FINE_LINEAR: dict[str, Any] = {
    **LINEAR,
    **FINE,
    "packing.rank": 192,
    "teacher.steps": 20,
    "student.operator.widths": [16, 24, 32, 48],
    "student.inputs.widths": [16, 24, 32, 48],
    "student.steps": 200,
}
"""The best linear prediction and the Newton step leave little to their networks."""

FINE_BURGERS: dict[str, Any] = {
    **STAGED,
    **FINE,
    "teacher.steps": 20,
    "student.operator.widths": [24, 32, 48, 64],
    "student.inputs.widths": [16, 24, 32, 48],
    "student.steps": 1000,
}
"""Its inputs are Gaussian, and draw from the colour: the teacher is a sketch."""

FINE_MEDIUM: dict[str, Any] = {
    **MEDIUM,
    **FINE,
    "teacher.steps": 1200,
    "pairs.count": 1024,
    "student.steps": 700,
    "packing.soften": 4,
    "network.widths": [24, 48, 72, 96],
    "student.operator.widths": [16, 32, 48, 64],
}

FILM: dict[str, Any] = {
    **STAGED,
    "data.size": 32,
    "data.times": 16,
    # Of a film's components each is as large as a film.
    "packing.rank": 56,
    "teacher.steps": 100,
    "student.steps": 3000,
}
"""Two axes and time: the vorticity at first is Gaussian, and an operator makes the film of it."""

RECIPES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "burgers-64": ("burgers", {**STAGED, "student.steps": 3000}, True),
    "darcy-64": ("darcy", MEDIUM, True),
    "poisson-64": ("poisson", LINEAR, False),
    "helmholtz-64": ("helmholtz", LINEAR, False),
    "navier-stokes-32": ("navier-stokes", FILM, False),
    "burgers-128": ("burgers", FINE_BURGERS, False),
    "darcy-128": ("darcy", FINE_MEDIUM, False),
    "poisson-128": ("poisson", FINE_LINEAR, False),
    "helmholtz-128": ("helmholtz", FINE_LINEAR, False),
}
"""Name of a model to its equation, what is set beyond the default preset, and whether the teacher
comes with it."""

PRINTED = (
    "pde_error_normalised", "self_consistency", "energy_distance", "one_point_distance",
    "spectrum_distance", "seconds_per_sample",
)  # fmt: skip


def polish(folder: Path, products: int) -> None:
    """Give a model that is there a last step, which takes the scales of rows and no training."""
    card = read_card(folder)
    tensors, metadata = read_tensors(folder / STUDENT, "student")
    pde = get_pde(card.config.pde)
    rows = pde.bind(card.config.data.grid(pde.grid)).rows
    tensors["polish.scale"] = torch.tensor([card.scale[row] for row in rows])
    write_tensors(folder / STUDENT, tensors, metadata)
    again = f"python benchmarks/train_students.py {folder.name} --scores --polish {products}"
    write_json(folder / CARD, card.model_copy(update={
        "config": changed(card.config, {"student.polish": products}),
        "digests": {**card.digests, STUDENT: digest_of(folder / STUDENT)},
        "command": f"{card.command} with student.polish=0, then {again}",
    }))  # fmt: skip


def keep_anew(name: str, folder: Path, settle: bool) -> None:
    """Write a model's files as :func:`piddm.runs.model_weights.keep` does today."""
    card = read_card(folder)
    model = Pretrained(name, folder, get_pde(card.config.pde))
    student, command = model.student, card.command
    if settle:
        follow(model.simulate(), quiet=False)
        student.settle(model.packing.targets(model.data[0].fields), card.config.seed)
        command += f", then python benchmarks/train_students.py {name} --scores --settle"
    if TEACHER in card.digests:
        keep(model.teacher, folder / TEACHER, student.state_dict())
    keep(student, folder / STUDENT)
    digests = {file: digest_of(folder / file) for file in card.digests}
    write_json(folder / CARD, card.model_copy(update={"digests": digests, "command": command}))


def score_again(name: str, folder: Path) -> dict[str, Scores]:
    """Score a model that is there in as many draws as its data; write the scores into its card."""
    card = read_card(folder)
    model = Pretrained(name, folder, get_pde(card.config.pde))
    known = None if TEACHER in card.digests else Metrics.model_validate(card.metrics)
    _ = model.student, known or model.teacher  # read before the folder is another one
    follow(model.simulate(), quiet=False)
    with tempfile.TemporaryDirectory() as out:
        model.folder = Path(out)  # where scores and samples go
        follow(evaluate(model, DRAWS, known), quiet=False)
        metrics = read_json(Path(out) / "metrics.json", Metrics)
    write_json(folder / CARD, card.model_copy(update={"metrics": metrics.model_dump(mode="json")}))
    return metrics.scores()


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--scores", action="store_true")
    parser.add_argument("--polish", type=int)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--settle", action="store_true")
    options = parser.parse_args()
    print(describe())
    for name in options.names:
        if options.scores:
            if options.polish:
                polish(options.out / name, options.polish)
            if options.keep or options.settle:
                keep_anew(name, options.out / name, options.settle)
            show(score_again(name, options.out / name))
            continue
        pde, overrides, teacher = RECIPES[name]
        preset = "quick" if options.quick else "default"
        kept = {"student.name"} if options.quick else overrides.keys()
        job = prepare(pde, preset, overrides={k: v for k, v in overrides.items() if k in kept})
        follow(job.run(scored=False), quiet=False)
        command = f"python benchmarks/train_students.py {name}" + " --quick" * options.quick
        follow(make(job, options.out / name, command, teacher), quiet=False)
        show(score_again(name, options.out / name))


def show(found: Mapping[str, Scores]) -> None:
    """Print the scores of each source."""
    for label, scores in found.items():
        print(f"  {label}", *(f"{key} {getattr(scores, key)}" for key in PRINTED), sep=", ")


if __name__ == "__main__":
    main()
