"""One equation, one seed: what is shared is made once, then every competitor in its turn.

A competitor that fails is kept as failed, with the reason, and the rest goes on. Every result is
written as soon as it is there, and what is there is not made again.
"""

from __future__ import annotations

import inspect
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from piddm.api import Run
from piddm.bench.answers import answer
from piddm.bench.counting import counting
from piddm.bench.entries import OURS, TRUTH, Entry, parse
from piddm.bench.regrid import OtherGrid
from piddm.bench.results import Result, averaged, finished, keep, kept, result_path
from piddm.config import Config, changed
from piddm.engine import Distillation
from piddm.errors import PiddmError, UsageError
from piddm.files import read_tensors, write_tensors
from piddm.interfaces import Method
from piddm.metrics import Yardstick
from piddm.models import load_model
from piddm.pde import PDE
from piddm.plugins import current, one_line
from piddm.randomness import generator
from piddm.runs import digest, fingerprints
from piddm.sampling import noises, refine
from piddm.shared import Shared
from piddm.spectra import spectrum_distance
from piddm.training import Optimisation, Progress

APART = 1000
"""Between the seeds of several draws of noise."""

FARTHEST = 1e3
"""Deviations from the data's mean beyond which a sample is no sample: its method diverged."""

Sampler = Callable[[Tensor, torch.Generator], Tensor]


class Contest:
    """Competitors on one equation and seed.

    Args:
        config: The configuration that all share.
        pde: The equation.
        entries: The competitors.
        folder: Where results and what is trained are kept.
        device: ``cpu`` or a CUDA device.
        questions: What solvers are asked, each as ``TASK/SOLVER``.
    """

    def __init__(
        self, config: Config, pde: PDE, entries: Sequence[Entry], folder: Path,
        device: str = "cpu", questions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.questions = questions
        self.config, self.pde, self.entries, self.folder = config, pde, entries, folder
        self._device = device
        self._hopeless = False
        self._grids: dict[float, OtherGrid] = {}

    @cached_property
    def job(self) -> Distillation:
        """The run of what all share."""
        return self._prepare(self.config)

    def _prepare(self, config: Config, entry: Entry | None = None) -> Distillation:
        """Return the run of what a competitor trains: the same one however it ends."""
        name = "shared"
        if entry is not None:
            trained = [entry.training, fingerprints(config, self.pde)["distill"]]
            name = f"{entry.name}-{digest(trained)[:6]}"
        out = self.folder / "runs" / f"{self.pde.name}-{self.config.seed}" / name
        return Distillation(config, self.pde, self._device, out, keep_pairs=True)

    def run(self) -> Iterator[Progress]:
        """Make what is missing, the truth's own scores first."""
        yield from self.begin()
        for labels in self.groups():
            yield from self.compete(labels)

    def begin(self) -> Iterator[Progress]:
        """Make what all share, and score the truth."""
        path = self._path(TRUTH)
        try:
            if kept(path, self._mark(None)) is None:
                yield from self._shared()
                keep(path, self._truth(TRUTH, self._mark(None)))
        except Exception as error:  # then nobody can compete here, but elsewhere they can
            self._hopeless = True
            for label in (TRUTH, *(e.label for e in self.entries), *self.questions):
                if not finished(self._path(label)):
                    keep(self._path(label), self._without(label, _status(error), error))

    def groups(self) -> list[tuple[str, ...]]:
        """Return who is still to compete, those together who train the same network."""
        if self._hopeless:
            return []
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            found.setdefault(entry.training, []).append(entry.label)
        if self.questions:  # they are asked on the run of the paper's student
            found.setdefault(OURS, []).extend(self.questions)
        return [tuple(labels) for labels in found.values()]

    def compete(self, labels: Sequence[str]) -> Iterator[Progress]:
        """Let some competitors, or solvers by their questions, do what they have not done yet."""
        entries = {e.label: e for e in self.entries}
        for label in labels:
            if (entry := entries.get(label)) is not None:
                yield from self._enter(label, partial(self._compete, entry), entry)
            else:
                yield from self._enter(label, partial(self._ask, label))

    def _enter(
        self, label: str, work: Callable[[str], Steps[Progress, None, Result]],
        entry: Entry | None = None,
    ) -> Iterator[Progress]:  # fmt: skip
        path = self._path(label)
        try:
            mark = self._mark(entry, label)
            if kept(path, mark) is not None:
                return
            yield from self._shared()
            result = yield from work(mark)
        except Exception as error:  # anything at all: it may be somebody else's code
            result = self._without(label, _status(error), error)
        keep(path, result)

    def _without(self, label: str, status: str, error: Exception) -> Result:
        # A refusal is not final: it is asked again each time.
        return self._result(label, "", status=status, reason=one_line(error))

    def _ask(self, question: str, mark: str) -> Steps[Progress, None, Result]:
        """Ask a solver on the run of the paper's student."""
        entry = parse(OURS, current())
        job = self._prepare(changed(self.config, entry.overrides()), entry)
        yield from job.distill()
        yield from job.evaluate()  # solvers ask how far its samples are off
        answers = yield from answer(Run(job), *question.split("/"))
        return self._result(question, mark, answers=answers)

    def _result(self, label: str, mark: str, **found: object) -> Result:
        return Result.model_validate(
            {"pde": self.pde.name, "seed": self.config.seed, "method": label, "mark": mark} | found
        )

    def _path(self, label: str) -> Path:
        return result_path(self.folder, self.pde.name, self.config.seed, label)

    def _mark(self, entry: Entry | None, label: str = TRUTH) -> str:
        """Return what a result depends on: settings, and a plugin's code."""
        parts = [self.job.marks["distill"], self.config.evaluation.model_dump(mode="json")]
        if entry is not None:
            parts += [entry.label, *_code(entry)]
        elif label != TRUTH:
            parts += [label, *_source("solver", label.split("/")[1])]
        return digest(parts)

    def _training_mark(self, entry: Entry) -> str:
        """Return what a method's training depends on: however it ends."""
        own = [entry.name, list(entry.settings), *_code(entry)]
        return digest([self.job.marks["distill"], *own])

    def _shared(self) -> Iterator[Progress]:
        yield from self.job.simulate()
        yield from self.job.train()

    @cached_property
    def yardstick(self) -> Yardstick:
        """What all are scored by."""
        job = self.job
        held_out = job.packing.pack(job.data[1].fields)
        return Yardstick(
            job.projection, job.packing, held_out, self.config.evaluation.distance_count
        )

    @property
    def count(self) -> int:
        """Samples of each competitor."""
        return min(self.config.evaluation.count, self.config.data.train)

    def _truth(self, label: str, mark: str, factor: float = 1.0) -> Result:
        x = self.job.packing.pack({k: v[: self.count] for k, v in self.job.data[0].fields.items()})
        return self._scored(label, mark, factor, x)

    def _compete(self, entry: Entry, mark: str) -> Steps[Progress, None, Result]:
        """Train what is to be trained, sample, score; return the result."""
        if entry.grid != 1:
            self._elsewhere(entry.grid)  # what cannot be scored there need not be made
        if entry.kind == "data":
            return self._truth(entry.label, mark, entry.grid)
        spent: dict[str, float | None] = {
            "teacher_seconds": _seconds(self.job.teacher_path, "teacher")
        }
        if entry.kind == "student":
            job = self._prepare(changed(self.config, entry.overrides()), entry)
            for now in chain(job.simulate(), job.train(), job.distill()):
                yield replace(now, stage=f"{now.stage} {entry.training}")  # there are many
            shared, student = job.shared, job.student
            path = job.folder / "student.safetensors"
            spent["teacher_seconds"] = _seconds(job.teacher_path, "teacher")
            spent["training_seconds"] = _seconds(path, "student")
            spent["pairs_seconds"] = _seconds(path, "student", "pairs_seconds")
            networks: list[nn.Module] = [student]

            sampler: Sampler = _drawn(student, shared, entry.refine)
        else:
            shared = self.job.shared
            method: Method = current().build(
                "method", entry.name, Method, shared, **dict(entry.settings)
            )
            if method.trained is not None:
                spent["training_seconds"] = yield from self._train(entry, method)
            networks = [shared.teacher, *filter(None, [method.trained])]
            sampler = method.sample
        if entry.projection:
            sampler = _projected(sampler, shared)
        found = []
        for n in range(entry.draws):
            # Noise of its own, which no pair was made from: that of every other evaluation.
            seed = self.config.seed + 1 + APART * n
            made = yield from self._draw(entry, sampler, shared, networks, seed)
            there = (made[0].abs() < FARTHEST).flatten(1).all(1)  # what is not finite is not less
            if bad := int((~there).sum()):
                raise PiddmError(
                    f"it diverged: {bad} of {len(made[0])} samples are not finite, or farther "
                    f"than {FARTHEST:g} deviations from the data's mean"
                )
            x = made[0].double()
            if shared.packing is not self.job.packing:  # another teacher's normalisation
                x = self.job.packing.pack(shared.packing.unpack(x))
            found.append(self._scored(entry.label, mark, entry.grid, x, *made[1:], **spent))
        return averaged(found)

    def _train(self, entry: Entry, method: Method) -> Steps[Progress, None, float | None]:
        """Train a method's network, or read it; return the seconds that it took."""
        assert method.trained is not None
        mark = self._training_mark(entry)
        job = self._prepare(self.config, entry)
        path = job.folder / "method.safetensors"
        if not path.exists() or read_tensors(path, "method")[1].get("fingerprint") != mark:
            work = path.with_suffix(".checkpoint")
            work_on = Optimisation(
                entry.name, method.trained, self.config.student, work, mark, job.device
            )
            yield from work_on.run(method.loss)
            told = {"fingerprint": mark, "seconds": str(work_on.seconds)}
            tensors = work_on.average.state_dict()
            write_tensors(path, tensors, {"piddm_kind": "method", **told})
            work.unlink(missing_ok=True)
        load_model(path, "method", method.trained, mark)
        method.trained.eval().requires_grad_(False)
        return _seconds(path, "method")

    def _draw(
        self, entry: Entry, sampler: Sampler, shared: Shared, networks: Sequence[nn.Module],
        seed: int,
    ) -> Steps[Progress, None, tuple[Tensor, int, float]]:  # fmt: skip
        """Draw samples; return them, the network calls and the seconds for each."""
        batches = noises(shared.shape, self.count, seed, shared.device)
        parts, seconds = [], 0.0
        with counting(getattr(n, "network", n) for n in networks) as calls:
            for i, noise in enumerate(batches):
                draw = generator(seed, "bench", i)
                start = time.perf_counter()
                with torch.no_grad():
                    parts.append(sampler(noise, draw).detach())
                if shared.device.type == "cuda":
                    torch.cuda.synchronize()
                seconds += time.perf_counter() - start
                yield Progress(f"sample {entry.label}", i + 1, len(batches), {})
        x = torch.cat(parts)
        return x, round(calls.total / len(x)), seconds / len(x)

    def _elsewhere(self, factor: float) -> OtherGrid:
        """Return another grid to score on, made once."""
        if factor not in self._grids:
            self._grids[factor] = OtherGrid(self.job, factor)
        return self._grids[factor]

    def _scored(
        self, label: str, mark: str, factor: float, x: Tensor, calls: int | None = None,
        seconds: float | None = None, **spent: float | None,
    ) -> Result:  # fmt: skip
        packing, yardstick = self.job.packing, self.yardstick
        held_out = packing.pack(self.job.data[1].fields)
        if factor != 1:
            other = self._elsewhere(factor)
            packing, yardstick, held_out = other.packing, other.yardstick, other.held_out
            x = other(x)
        scores = yardstick.scores(x, self.config.seed + 1, calls, seconds)
        numbers = (scores.pde_error, scores.pde_error_normalised, scores.constraint_distance,
                   scores.mmse, scores.smse, scores.energy_distance)  # fmt: skip
        if not all(map(math.isfinite, numbers)):
            raise PiddmError("it diverged: its samples are too large to be scored")
        distance = spectrum_distance(x.cpu().float(), held_out, packing.grid)
        return self._result(label, mark, scores=scores, spectrum_distance=distance, **spent)


def _status(error: Exception) -> str:
    return "refused" if isinstance(error, UsageError) else "failed"


def _code(entry: Entry) -> list[str]:
    """Return the source of a method and of what it is derived from: piddm's own has its version."""
    return [] if entry.kind == "data" else _source(entry.kind, entry.name)


def _source(kind: str, name: str) -> list[str]:
    made = current().get(kind, name)
    modules = dict.fromkeys(c.__module__ for c in getattr(made, "__mro__", [made]))
    own = [m for m in modules if m.partition(".")[0] not in ("piddm", "torch", "abc", "builtins")]
    return [inspect.getsource(sys.modules[m]) for m in own]


def _drawn(student: nn.Module, shared: Shared, steps: int) -> Sampler:
    def sample(noise: Tensor, draw: torch.Generator) -> Tensor:
        if not steps:
            return student(noise)
        with torch.enable_grad():
            return refine(student, noise, shared.physics, steps)

    return sample


def _projected(sampler: Sampler, shared: Shared) -> Sampler:
    return lambda noise, draw: shared.project(sampler(noise, draw).double())


def _seconds(path: Path, kind: str, name: str = "seconds") -> float | None:
    """Return what a model's file says of how long it took; nothing where it does not."""
    if not path.exists():
        return None
    try:
        value = float(read_tensors(path, kind)[1].get(name, "nan"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
