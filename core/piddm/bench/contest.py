"""One equation, one seed: what is shared is made once, then every competitor in its turn.

A competitor that fails is kept as failed, with the reason, and the rest goes on. Every result is
written as soon as it is there, and a result that is there is not made again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Generator as Steps
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

from torch import Tensor, nn

from piddm.api import Run
from piddm.bench import samplers
from piddm.bench.answers import answer
from piddm.bench.entries import OURS, PLAIN, TRUTH, Entry, parse
from piddm.bench.marks import code_of, seconds_of, source_of
from piddm.bench.method_training import trained
from piddm.bench.regrid import OtherGrid
from piddm.bench.results import Result, averaged, finished, keep, kept, result_path
from piddm.config import Config, changed
from piddm.equation import PDE
from piddm.methods.method import Method
from piddm.metrics.yardstick import Yardstick
from piddm.plugins.contracts import one_line
from piddm.plugins.loader import current
from piddm.runs.evaluation import draws
from piddm.runs.fingerprints import digest, fingerprints
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.progress import Progress

MEASURED = 2
"""Raised when scores are added or change: results are then scored anew, not trained anew."""

APART = 1000
"""Between the seeds of several draws of noise."""

FARTHEST = 1e3
"""Deviations from the data's mean beyond which a sample is no sample: its method diverged."""


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
    def job(self) -> Run:
        """The run of what all share."""
        return self._prepare(self.config)

    def _prepare(self, config: Config, entry: Entry | None = None) -> Run:
        """Return the run of what a competitor trains: the same one however it ends."""
        name = "shared"
        if entry is not None:
            own = [entry.training, fingerprints(config, self.pde)["distill"]]
            name = f"{entry.name}-{digest(own)[:6]}"
        out = self.folder / "runs" / f"{self.pde.name}-{self.config.seed}" / name
        return Run(config, self.pde, self._device, out, keep_pairs=True)

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
                yield from self._common()
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
            yield from self._common()
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
        yield from job.score()  # solvers ask how far its samples are off
        answers = yield from answer(job, *question.split("/"))
        return self._result(question, mark, answers=answers)

    def _result(self, label: str, mark: str, **found: object) -> Result:
        return Result.model_validate(
            {"pde": self.pde.name, "seed": self.config.seed, "method": label, "mark": mark} | found
        )

    def _path(self, label: str) -> Path:
        return result_path(self.folder, self.pde.name, self.config.seed, label)

    def _mark(self, entry: Entry | None, label: str = TRUTH) -> str:
        """Return what a result depends on: settings, and a plugin's code."""
        parts = [MEASURED, self.job.marks["distill"]]
        parts.append(self.config.evaluation.model_dump(mode="json"))
        if entry is not None:
            parts += [entry.label, *code_of(entry)]
        elif label != TRUTH:
            parts += [label, *source_of("solver", label.split("/")[1])]
        return digest(parts)

    def _training_mark(self, entry: Entry) -> str:
        """Return what a method's training depends on: however it ends."""
        own = [entry.name, list(entry.settings), *code_of(entry)]
        return digest([self.job.marks["distill"], *own])

    def _common(self) -> Iterator[Progress]:
        yield from self.job.simulate()
        yield from self.job.train()

    @cached_property
    def yardstick(self) -> Yardstick:
        """The scores' common reference."""
        job = self.job
        held_out = job.packing.pack(job.data[1].fields)
        return Yardstick(
            job.projection,
            job.packing,
            held_out,
            self.config.evaluation.distance_count,
            job.own_solution,
        )

    @property
    def count(self) -> int:
        """Samples of each competitor."""
        return min(self.config.evaluation.count, self.config.data.train)

    def _truth(self, label: str, mark: str, factor: float = 1.0) -> Result:
        scored = [
            self._scored(label, mark, factor, self.job.packing.pack(draw))
            for draw in draws(self.job.data[0], self.count)
        ]
        return averaged(scored)

    def _compete(self, entry: Entry, mark: str) -> Steps[Progress, None, Result]:
        """Train what is to be trained, sample, score; return the result."""
        if entry.grid != 1:
            self._elsewhere(entry.grid)  # what cannot be scored there need not be made
        if entry.kind == "data":
            return self._truth(entry.label, mark, entry.grid)
        spent: dict[str, float | None] = {
            "teacher_seconds": seconds_of(self.job.teacher_path, "teacher")
        }
        if entry.kind == "student":
            job = self._prepare(changed(self.config, entry.overrides()), entry)
            for now in chain(job.simulate(), job.train(), job.distill()):
                yield replace(now, stage=f"{now.stage} {entry.training}")  # there are many
            context, student = job.context, job.student
            path = job.folder / "student.safetensors"
            spent["teacher_seconds"] = seconds_of(job.teacher_path, "teacher")
            spent["training_seconds"] = seconds_of(path, "student")
            spent["pairs_seconds"] = seconds_of(path, "student", "pairs_seconds")
            networks: dict[nn.Module, int] = {student: student.calls}
            sampler: samplers.Sampler = samplers.of_student(student, context, entry.refine)
        else:
            context = self.job.context
            method: Method = current().build(
                "method", entry.name, Method, context, **dict(entry.settings)
            )
            if method.trained is not None:
                spent["training_seconds"] = yield from trained(
                    self._prepare(self.config, entry),
                    method,
                    entry.name,
                    self._training_mark(entry),
                )
            networks = dict.fromkeys([context.teacher.network, *method.networks()], 1)
            sampler = method.sample
        if entry.correction:
            sampler = samplers.corrected(sampler, context)
        if entry.projection:
            sampler = samplers.projected(sampler, context)
        if entry.solved:
            if entry.name == PLAIN:
                sampler = samplers.of_inputs(self.job, context)
            sampler = samplers.solved(sampler, self.job, context)
        found = []
        for n in range(entry.draws):
            # Noise of its own, which no pair was made from: that of every other evaluation.
            seed = self.config.seed + 1 + APART * n
            made = yield from samplers.draw(
                entry.label, sampler, context, networks, self.count, seed
            )
            there = (made[0].abs() < FARTHEST).flatten(1).all(1)  # what is not finite is not less
            if bad := int((~there).sum()):
                raise PiddmError(
                    f"it diverged: {bad} of {len(made[0])} samples are not finite, or farther "
                    f"than {FARTHEST:g} deviations from the data's mean"
                )
            x = made[0].double()
            if context.packing is not self.job.packing:  # another teacher's normalisation
                x = self.job.packing.pack(context.packing.unpack(x))
            found.append(self._scored(entry.label, mark, entry.grid, x, *made[1:], **spent))
        return averaged(found)

    def _elsewhere(self, factor: float) -> OtherGrid:
        """Return another grid to score on, made once."""
        if factor not in self._grids:
            self._grids[factor] = OtherGrid(self.job, factor)
        return self._grids[factor]

    def _scored(
        self, label: str, mark: str, factor: float, x: Tensor, calls: int | None = None,
        seconds: float | None = None, **spent: float | None,
    ) -> Result:  # fmt: skip
        yardstick = self.yardstick
        if factor != 1:
            other = self._elsewhere(factor)
            yardstick, x = other.yardstick, other(x)
        scores = yardstick.scores(x, self.config.seed + 1, calls, seconds)
        numbers = (scores.pde_error, scores.pde_error_normalised, scores.constraint_distance,
                   scores.mmse, scores.smse, scores.energy_distance)  # fmt: skip
        # What physics measures is absent where there is no equation.
        if not all(math.isfinite(n) for n in numbers if n is not None):
            raise PiddmError("it diverged: its samples are too large to be scored")
        apart = scores.spectrum_distance
        return self._result(label, mark, scores=scores, spectrum_distance=apart, **spent)


def _status(error: Exception) -> str:
    return "refused" if isinstance(error, UsageError) else "failed"
