"""Scoring a run: truth, teacher and student against held-out data, and the trade between errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from piddm.data import dataset
from piddm.data.dataset import Dataset
from piddm.metrics.scores import Metrics, Scores, TradeoffPoint, in_calls, mean_scores
from piddm.metrics.yardstick import Yardstick
from piddm.runs.baselines import baselines
from piddm.teachers.sampling import last, noises
from piddm.tools import ranks
from piddm.tools.files import write_json
from piddm.tools.progress import Progress

if TYPE_CHECKING:
    from piddm.runs.workspace import Workspace
    from piddm.teachers.teacher import Teacher

CURVE = (1, 2, 10)
"""Teacher steps at which PDE error is shown against distribution distance, beside its own."""

DRAWS = 4
"""Draws of data, at most, that tell the floor of every measure, each against the held-out data."""


def evaluate(run: Workspace, repeats: int = 1, known: Metrics | None = None) -> Iterator[Progress]:
    """Score truth, teacher, student and baselines; write ``metrics.json`` and ``samples.h5``.

    Of several processes each scores what nobody else does.

    Args:
        run: What is scored.
        repeats: Draws of noise, the same for all sources, whose scores are averaged. One draw of a
            few hundred samples may lie as far from the data as the floor is.
        known: Scores whose teacher and trade-off are kept, where the teacher is not at hand.
    """
    settings, packing = run.config.evaluation, run.packing
    teacher = None if known else run.teacher
    train, held_out = run.data
    yardstick = Yardstick(
        run.projection,
        packing,
        packing.pack(held_out.fields),
        settings.distance_count,
        run.own_solution,
    )
    # Evaluation has noise of its own, which no pair was made from.
    count, seed = min(settings.count, len(train)), run.config.seed + 1
    steps = run.config.pairs.steps
    curve = [n for n in CURVE if n != steps] if teacher else []
    sources = baselines(run)

    def drawn(
        sampler: Callable[[Tensor], Tensor], calls: int, count: int = count
    ) -> tuple[Scores, Tensor]:
        """Return the scores of a source, and its first draw."""
        found, first = [], None
        for noise in range(seed, seed + repeats):
            x, seconds = _timed(run, sampler, count, noise)
            found.append(yardstick.scores(x, noise, calls, seconds))
            first = x if first is None else first
        assert first is not None
        return mean_scores(found), first

    def scores(sampler: Callable[[Tensor], Tensor], calls: int, count: int = count) -> Scores:
        return drawn(sampler, calls, count)[0]

    def of_student() -> Scores:
        found, x = drawn(run.student, run.student.calls)
        floor = found.pde_error_by_row
        samples = Dataset(run.pde.name, run.grid, packing.unpack(x), run.scale, floor, seed)
        dataset.write(samples, run.folder / "samples.h5")
        return found

    def point(n: int) -> TradeoffPoint:
        # As many samples as above: the energy distance has a floor that falls with the count.
        assert teacher is not None
        x, _ = _timed(run, partial(_last, teacher, n), count, seed)
        error, distance = yardstick.pair(x)
        label = f"teacher, {in_calls(teacher.calls(n))}"
        return TradeoffPoint(
            label=label, steps=n, pde_error_normalised=error, energy_distance=distance
        )

    truth = [
        partial(lambda draw: yardstick.scores(packing.pack(draw), run.config.seed), draw)
        for draw in draws(train, count)
    ]
    own: list[Callable[[], Scores]] = [of_student]
    if teacher is not None:
        sampler = partial(_last, teacher, steps)
        own.append(lambda: scores(sampler, teacher.calls(steps)))
    plain = [partial(scores, s.sample, s.calls, s.count(count)) for s in sources.values()]
    scored = [*truth, *own, *plain]
    work: list[Callable[[], Scores | TradeoffPoint]] = [
        *scored,
        *(partial(point, n) for n in curve),
    ]
    mine: dict[int, Any] = {}
    for n in ranks.turns(len(work)):
        yield Progress("evaluate", n, len(work), {})
        mine[n] = work[n]().model_dump(mode="json")
    every = ranks.gathered(mine)
    found = [Scores.model_validate(every[n]) for n in range(len(scored))]
    points = [TradeoffPoint.model_validate(every[n]) for n in range(len(scored), len(work))]
    metrics = Metrics(
        truth=mean_scores(found[: len(truth)]),
        teacher=known.teacher if known else found[len(truth) + 1],
        student=found[len(truth)],
        baselines=dict(zip(sources, found[len(truth) + len(own) :], strict=True)),
        tradeoff=known.tradeoff if known else points,
        floor=train.floor,
    )
    ranks.told(lambda: write_json(run.folder / "metrics.json", metrics))
    yield Progress("evaluate", len(work), len(work), {})


def _last(teacher: Teacher, steps: int, noise: Tensor) -> Tensor:
    return last(teacher.sample(noise, steps))


def draws(data: Dataset, count: int) -> list[dict[str, Tensor]]:
    """Return disjoint draws of data of as many samples as are scored, some at most."""
    starts = range(0, len(data) - count + 1, count)[:DRAWS]
    return [{k: v[i : i + count] for k, v in data.fields.items()} for i in starts]


def _timed(
    run: Workspace, sampler: Callable[[Tensor], Tensor], count: int, seed: int
) -> tuple[Tensor, float]:
    """Return samples and the seconds that each took."""
    batches = noises((run.packing.channels, *run.packing.image), count, seed, run.device)
    start = time.perf_counter()
    with torch.no_grad():
        x = torch.cat([sampler(noise) for noise in batches])
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return x, (time.perf_counter() - start) / count
