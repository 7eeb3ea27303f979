"""The engine: simulate, train, make pairs, distil, evaluate. It knows no equation.

Each stage is a generator that yields its :class:`~piddm.tools.progress.Progress`, so that a
caller's progress bar or early stop is a plain ``for``. A stage whose result is there is skipped;
one that was interrupted goes on from its last checkpoint. Several processes go through it together
(:mod:`piddm.tools.ranks`): each does its share, the first one writes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from piddm.runs.data_sets import solve_into
from piddm.runs.evaluation import evaluate
from piddm.runs.folder import Manifest, home, lock_of, parts_folder
from piddm.runs.given_data import take
from piddm.runs.histories import History
from piddm.runs.model_files import build_student, build_teacher, save_model
from piddm.runs.workspace import Workspace
from piddm.students.student import Student
from piddm.tools import ranks
from piddm.tools.atomic import atomic_path, swept
from piddm.tools.devices import sent
from piddm.tools.files import read_json, write_json
from piddm.tools.progress import Progress
from piddm.tools.randomness import generator
from piddm.training.optimisation import Loss, Optimisation
from piddm.training.pairs import PairPool


class Distillation(Workspace):
    """The stages of a run, from an equation to a scored one-step student."""

    def run(self, scored: bool = True) -> Iterator[Progress]:
        """Do all that is missing, and note in the manifest how long each stage took.

        Args:
            scored: Whether the scores belong to it.
        """
        with self.alone():
            ranks.told(self._sweep)
            if ranks.told((self.folder / "metrics.json").exists):
                return
            stages = {"simulate": self.simulate, "train": self.train, "distill": self.distill}
            for name, stage in (stages | ({"evaluate": self.score} if scored else {})).items():
                start = time.perf_counter()
                yield from stage()
                ranks.told(partial(self._note, name, time.perf_counter() - start))

    def alone(self) -> AbstractContextManager[None]:
        """Keep other processes from working on this run, or wait for one that does."""
        return ranks.locked(self.folder / ".lock", f"works on {self.folder}")

    def simulate(self) -> Iterator[Progress]:
        """Make the data set, or take the one that is given."""
        settings, seed = self.config.data, self.config.seed
        total = settings.train + settings.held_out
        parts = parts_folder(self.pde, self.grid, total, seed)
        if ranks.told(lambda: self.data_path.exists() and not parts.exists()):
            return
        if settings.taken is not None:
            yield from ranks.alone(take(self.config, self.data_path, self.marks["simulate"]))
            return
        yield from solve_into(
            self.data_path, self.pde, self.grid, total, seed, self.marks["simulate"]
        )

    def train(self) -> Iterator[Progress]:
        """Train the teacher on the data, without physics."""
        if ranks.told(self.teacher_path.exists):
            return
        with ranks.locked(lock_of(self.teacher_path), f"trains the teacher of {self.pde.name}"):
            if not ranks.told(self.teacher_path.exists):
                yield from self._train()

    def _train(self) -> Iterator[Progress]:
        train, _ = self.data
        teacher = build_teacher(self.config, self.pde, self.grid)
        teacher.packing.fit(train.fields)
        ranks.same([*teacher.packing.buffers()])
        data = teacher.packing.targets(train.fields)
        settings, seed = self.config.teacher, self.config.seed

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            draw = generator(seed, "teacher", step)
            index = ranks.share(torch.randint(len(data), (settings.batch,), generator=draw))
            return {"loss": module(sent(data[index], self.device), draw)}

        work = self.teacher_path.with_suffix(".checkpoint")
        job = Optimisation("teacher", teacher, settings, work, self.marks["train"], self.device)
        yield from job.run(loss)
        self._finish("teacher", job, self.teacher_path, self.marks["train"])

    def distill(self) -> Iterator[Progress]:
        """Train the student, by Eq. 8 on the teacher's pairs unless it has a loss of its own."""
        student = self.folder / "student.safetensors"
        if ranks.told(student.exists):
            return
        with self.alone():
            if not ranks.told(student.exists):
                yield from self._distill()

    def _distill(self) -> Iterator[Progress]:
        target = self.folder / "student.safetensors"
        ranks.told(self._keep_teacher)
        context, settings = self.context, self.config.student
        student = build_student(self.config, self.teacher, self.pde).requires_grad_(True)
        student.to(self.device)  # where what it shares with the teacher is already
        loss = student.objective(context)
        work = self.folder / "student.checkpoint"
        job = Optimisation("student", student, settings, work, self.marks["distill"], self.device)
        yield from train_with_pairs(job, loss, context.pairs)
        cast(Student, job.average).settle(context.data, self.config.seed)
        self._finish("student", job, target, self.marks["distill"], context.pairs.seconds)

    def score(self, force: bool = False) -> Iterator[Progress]:
        """Score truth, teacher and student; write ``metrics.json`` and ``samples.h5``.

        Args:
            force: Score again where scores are there already.
        """
        if force or not ranks.told((self.folder / "metrics.json").exists):
            yield from evaluate(self)

    def _sweep(self) -> None:
        """Remove what killed processes left: half-written files, locks, work that was done."""
        folders = [self.folder, self.folder / "figures", self.pairs_path]
        folders += [self.data_path.parent, self.teacher_path.parent, home() / "cache" / "parts"]
        for folder in folders:
            swept(folder)
        for model in (self.teacher_path, self.folder / "student.safetensors"):
            if model.exists():
                model.with_suffix(".checkpoint").unlink(missing_ok=True)

    def _keep_teacher(self) -> None:
        """Copy the teacher into the run's folder, which is then whole."""
        for name in ("teacher.safetensors", "teacher.history.json"):
            source = self.teacher_path.with_suffix(name.removeprefix("teacher"))
            if source.exists() and not (self.folder / name).exists():
                with atomic_path(self.folder / name) as part:
                    shutil.copyfile(source, part)

    def _note(self, stage: str, seconds: float) -> None:
        path = self.folder / "manifest.json"
        manifest = read_json(path, Manifest)
        spent = {**manifest.seconds, stage: manifest.seconds.get(stage, 0.0) + seconds}
        told = {"seconds": spent, "processes": ranks.size()}
        write_json(path, manifest.model_copy(update=told))

    def _finish(
        self, stage: str, job: Optimisation, path: Path, mark: str, pairs: float = 0.0
    ) -> None:
        # The model comes last: where it is, the stage is done.
        history = [{"stage": stage, "step": i + 1, **h} for i, h in enumerate(job.history)]
        spent = {"seconds": str(job.seconds), "pairs_seconds": str(pairs)}

        def write() -> None:
            write_json(path.with_suffix(".history.json"), History(lines=history))
            save_model(path, stage, job.average, {"fingerprint": mark, **spent})
            job.checkpoint.unlink(missing_ok=True)

        ranks.told(write)


def train_with_pairs(job: Optimisation, loss: Loss, pool: PairPool) -> Iterator[Progress]:
    """Run an optimisation on pairs that are refreshed as it goes."""
    yield from pool.advance(pool.round_at(job.step))
    for progress in job.run(loss):
        yield progress
        if progress.done < progress.total and progress.done % pool.settings.refresh_every == 0:
            yield from pool.advance(pool.round_at(progress.done))
