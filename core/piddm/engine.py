"""The engine: simulate, train, make pairs, distil, evaluate. It knows no equation.

Each stage is a generator that yields its :class:`~piddm.training.Progress`, so that a caller's
progress bar or early stop is a plain ``for``. A stage whose result is there is skipped; one that
was interrupted goes on from its last checkpoint.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from piddm import dataset
from piddm.config import Config, PhysicsConfig
from piddm.dataset import Dataset
from piddm.errors import PiddmError, UsageError
from piddm.evaluation import evaluate
from piddm.files import atomic_path, read_json, write_json
from piddm.generation import forget_parts, solve
from piddm.interfaces import Residual
from piddm.metrics import Metrics, Scores
from piddm.models import build_student, build_teacher, load_model, save_model
from piddm.packing import Packing
from piddm.pairs import PairPool
from piddm.pde import PDE
from piddm.projection import Projection
from piddm.randomness import generator
from piddm.runs import Manifest, fingerprints, home, open_folder
from piddm.shared import Shared
from piddm.students.one_step import OneStepStudent
from piddm.teachers.flow import FlowTeacher
from piddm.training import Loss, Optimisation, Progress
from piddm.variations import varied


class Distillation:
    """One run, from an equation to a scored one-step student.

    Args:
        config: The configuration.
        pde: The equation.
        device: ``cpu`` or a CUDA device.
        out: Folder of the run; one under ``runs/`` where none is given.
        fresh: Start a new run even where one of this configuration exists.
        keep_pairs: Leave pairs that are refreshed on the disk, for other students.
    """

    def __init__(
        self, config: Config, pde: PDE, device: str = "cpu", out: Path | None = None,
        fresh: bool = False, keep_pairs: bool = False,
    ) -> None:  # fmt: skip
        self.config, self.pde = config, pde
        self.device = usable(device)
        self.grid = config.data.grid(pde.grid)
        self.residual: Residual = pde.bind(self.grid)
        build_teacher(config, pde, self.grid)  # an impossible grid or name shows before any work
        self.marks = fingerprints(config, pde)
        self._out, self._fresh, self._keep_pairs = out, fresh, keep_pairs
        cache = home() / "cache"
        self.data_path = cache / "data" / f"{pde.name}-{self.marks['simulate']}.h5"
        self.teacher_path = cache / "teachers" / f"{pde.name}-{self.marks['train']}.safetensors"
        self.pairs_path = cache / "pairs" / f"{pde.name}-{self.marks['pairs']}"

    @cached_property
    def folder(self) -> Path:
        """The run's folder, made when first asked for."""
        return open_folder(self.config, self.pde, self._out, self._fresh)

    def run(self) -> Iterator[Progress]:
        """Do all that is missing, and note in the manifest how long each stage took."""
        if (self.folder / "metrics.json").exists():
            return
        for stage in (self.simulate, self.train, self.distill, self.evaluate):
            start = time.perf_counter()
            yield from stage()
            self._note(stage.__name__, time.perf_counter() - start)

    def simulate(self) -> Iterator[Progress]:
        """Make the data set."""
        if self.data_path.exists():
            return
        settings = self.config.data
        total = settings.train + settings.held_out
        made = yield from solve(self.pde, self.grid, total, self.config.seed)
        dataset.write(made, self.data_path)
        forget_parts(self.pde, self.grid, total, self.config.seed)

    @cached_property
    def data(self) -> tuple[Dataset, Dataset]:
        """Training and held-out data."""
        made = dataset.read(self.data_path)
        return made.split(self.config.data.held_out)

    def train(self) -> Iterator[Progress]:
        """Train the teacher on the data, without physics."""
        if self.teacher_path.exists():
            return
        train, _ = self.data
        teacher = build_teacher(self.config, self.pde, self.grid)
        teacher.packing.fit(train.fields)
        data = teacher.packing.pack(train.fields)
        settings, seed = self.config.teacher, self.config.seed

        def loss(module: nn.Module, step: int) -> dict[str, Tensor]:
            draw = generator(seed, "teacher", step)
            index = torch.randint(len(data), (settings.batch,), generator=draw)
            return {"loss": module(data[index].to(self.device), draw)}

        work = self.teacher_path.with_suffix(".checkpoint")
        job = Optimisation("teacher", teacher, settings, work, self.marks["train"], self.device)
        yield from job.run(loss)
        self._finish("teacher", job, self.teacher_path, self.marks["train"])

    @cached_property
    def teacher(self) -> FlowTeacher:
        """The trained teacher: the run's own copy, else the cache's."""
        own = self.folder / "teacher.safetensors"
        path = own if own.exists() else self.teacher_path
        teacher = build_teacher(self.config, self.pde, self.grid)
        load_model(path, "teacher", teacher, self.marks["train"])
        return teacher.to(self.device).eval().requires_grad_(False)

    @cached_property
    def shared(self) -> Shared:
        """What every method of this run is given: teacher, data, pairs, residual, budget."""
        teacher = self.teacher
        pool = PairPool(
            teacher,
            self.config.pairs,
            (self.packing.channels, *self.packing.image),
            self.pairs_path,
            self.config.seed,
            self.marks["pairs"],
            self.device,
            self._keep_pairs,
        )
        data = self.packing.pack(self.data[0].fields)
        return Shared(self.config, teacher, self.believed, data, pool)

    def distill(self) -> Iterator[Progress]:
        """Train the student, by Eq. 8 on the teacher's pairs unless it has a loss of its own."""
        target = self.folder / "student.safetensors"
        if target.exists():
            return
        self._keep_teacher()
        shared, settings = self.shared, self.config.student
        student = build_student(self.config, self.teacher).requires_grad_(True)
        loss = student.objective(shared)
        work = self.folder / "student.checkpoint"
        job = Optimisation("student", student, settings, work, self.marks["distill"], self.device)
        yield from train_with_pairs(job, loss, shared.pairs)
        self._finish("student", job, target, self.marks["distill"], shared.pairs.seconds)

    @cached_property
    def student(self) -> OneStepStudent:
        """The distilled student; it needs the run's folder alone, which can be copied elsewhere."""
        path = self.folder / "student.safetensors"
        if not path.exists():
            raise PiddmError(f"{self.folder} has no student yet; run its piddm distill to the end")
        student = build_student(self.config, build_teacher(self.config, self.pde, self.grid))
        load_model(path, "student", student, self.marks["distill"])
        return student.to(self.device).eval().requires_grad_(False)

    @property
    def packing(self) -> Packing:
        """Normalisation and colour."""
        return self.teacher.packing

    @property
    def scale(self) -> dict[str, float]:
        """Scale of each row: the largest term's root mean square over data."""
        return self.data[0].scale

    @cached_property
    def projection(self) -> Projection:
        """The nearest solutions in the data's norm, one for all that needs some."""
        return Projection(self.residual, self.packing.norm(), self.scale)

    @cached_property
    def believed(self) -> Projection:
        """The same of what methods take for the equation, see ``physics`` of the configuration."""
        if self.config.physics == PhysicsConfig():
            return self.projection
        residual = varied(self.pde, self.grid, self.config.physics)
        scale = {k: self.scale[k] for k in residual.rows}
        return Projection(residual, self.packing.norm(), scale)

    def evaluate(self, force: bool = False) -> Iterator[Progress]:
        """Score truth, teacher and student; write ``metrics.json`` and ``samples.h5``.

        Args:
            force: Score again where scores are there already.
        """
        if force or not (self.folder / "metrics.json").exists():
            yield from evaluate(self)

    def scores(self) -> dict[str, Scores]:
        """Return the scores of truth, teacher and student from ``metrics.json``."""
        return read_json(self.folder / "metrics.json", Metrics).scores()

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
        write_json(path, manifest.model_copy(update={"seconds": spent}))

    def _finish(
        self, stage: str, job: Optimisation, path: Path, mark: str, pairs: float = 0.0
    ) -> None:
        # The model comes last: where it is, the stage is done.
        history = [{"stage": stage, "step": i + 1, **h} for i, h in enumerate(job.history)]
        write_json(path.with_suffix(".history.json"), history)
        spent = {"seconds": str(job.seconds), "pairs_seconds": str(pairs)}
        save_model(path, stage, job.average, {"fingerprint": mark, **spent})
        job.checkpoint.unlink(missing_ok=True)


def train_with_pairs(job: Optimisation, loss: Loss, pool: PairPool) -> Iterator[Progress]:
    """Run an optimisation on pairs that are refreshed as it goes."""
    yield from pool.advance(pool.round_at(job.step))
    for progress in job.run(loss):
        yield progress
        if progress.done < progress.total and progress.done % pool.settings.refresh_every == 0:
            yield from pool.advance(pool.round_at(progress.done))


def usable(name: str) -> torch.device:
    """Return a device of this machine.

    Raises:
        UsageError: If there is none of this name.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"no device {name!r}; use cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"no device {name!r}; use cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"this torch sees no CUDA device {name!r}; use --device cpu")
    return device
