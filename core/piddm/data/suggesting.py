"""A map to begin with: what a file says, and for what it leaves open, what the equation says.

Every choice that is open is tried: which array is which field, the order of axes, where nodes are,
signs, factors of params. The one of the smallest residual is taken, and all are told.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from piddm.data.axis_choices import axis_choices
from piddm.data.choices import field_choices, param_choices, unit_choices
from piddm.data.file_maps import DataMap, FieldMap, ParamMap
from piddm.data.readers.named_arrays import Arrays
from piddm.data.readers.said import Said
from piddm.data.replaying import replay
from piddm.data.sample_source import Mapped
from piddm.data.trying import Trial, score
from piddm.equation import PDE
from piddm.symbolic.operators import Field
from piddm.tools.errors import PiddmError

MOST = 160
"""Choices that are tried, at most: the likely ones first."""

FAR, REPLAYED, NODES = 0.05, 4, 1 << 17
"""Residual of each equation above which the likeliest choices are solved again, how many, on how
many nodes."""

HELPS = 0.5
"""Factor by which the axes of space the other way round must lower the residual to be taken."""

NEAR = 4.0
"""Factor of the smallest residual up to which choices are tried with other params."""

SAME = 1.02
"""Factor of two residuals up to which they tell nothing apart."""


@dataclass(frozen=True)
class Suggestion:
    """A map, and what was tried for it.

    Args:
        map: The map.
        trials: Every choice that was tried, the best first.
        format: What the reader calls the file's layout.
        open: What the equation cannot tell apart, by what the choice is about.
        assumed: What nobody said and nothing tests, a line each.
    """

    map: DataMap
    trials: tuple[Trial, ...]
    format: str
    open: tuple[str, ...]
    assumed: tuple[str, ...] = ()

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return a header and a row for each trial; only what differs between them."""
        about = [k for k in dict.fromkeys(k for t in self.trials for k in t.choice)
                 if len({t.choice.get(k) for t in self.trials}) > 1]  # fmt: skip
        again = any(t.distance is not None for t in self.trials)
        rows = [
            [*(t.choice.get(k, "-") for k in about),
             f"{t.score:.2e}" if math.isfinite(t.score) else "-",
             *([("-" if t.distance is None else f"{t.distance:.2e}")] if again else []), t.why]
            for t in self.trials
        ]  # fmt: skip
        return [*about, "residual", *(["distance, solved again"] if again else []), ""], rows


def suggest(arrays: Arrays, said: Said, pde: PDE, reader: str = "") -> Suggestion:
    """Return a map of a file for an equation.

    Args:
        arrays: The file.
        said: What its layout says.
        pde: The equation.
        reader: Name of the reader, for the map.

    Raises:
        PiddmError: If no choice fits the equation's axes and fields.
    """
    stated = param_choices(arrays, said, pde)
    tried = [
        _tried(arrays, pde, told, where)
        for where, told in itertools.islice(_choices(arrays, said, pde, reader, stated), MOST)
    ]
    tried.sort(key=_by_score)
    near = [pair for pair in tried[:REPLAYED] if pair[0].score <= NEAR * tried[0][0].score]
    for pair in near if tried and math.isfinite(tried[0][0].score) else []:
        tried += _other_params(arrays, pde, pair, stated)
    tried.sort(key=_by_score)
    # A score is a sum over what holds.
    far = FAR * (len(pde.equations) + len(pde.conditions) + len(pde.integrals))
    if tried and tried[0][0].score > far:
        tried += _transposed(arrays, said, pde, tried)
        tried += _named_otherwise(arrays, said, pde, reader, stated, tried)
        tried.sort(key=_by_score)
    if not tried or not math.isfinite(tried[0][0].score):
        why = f": {tried[0][0].why}" if tried else ""
        raise PiddmError(
            f"{arrays.path}: no choice of arrays fits {pde.name} with the fields "
            f"{', '.join(pde.field_names)} on {', '.join(pde.grid.names)}{why}; the file has "
            f"{arrays.text()}"
        )
    if tried[0][0].score > far and len(tried) > 1:
        tried = _solved_again(arrays, pde, tried)
    best = tried[0][0]
    same = [t for t, _ in tried[1:] if t.score <= SAME * best.score + 1e-12]
    apart = tuple(
        f"{k}: {best.choice[k]} or {t.choice[k]}"
        for t in same for k in best.choice if t.choice.get(k) != best.choice[k]
    )  # fmt: skip
    trials = tuple(t for t, _ in tried)
    return Suggestion(tried[0][1], trials, said.format or reader, tuple(dict.fromkeys(apart)))


def _solved_again(
    arrays: Arrays, pde: PDE, tried: list[tuple[Trial, DataMap]]
) -> list[tuple[Trial, DataMap]]:
    """Return the choices in the order of a replay, where residuals are large whatever is chosen.

    Between frames that are far apart a step's residual says nothing.
    """
    first, rest = tried[:REPLAYED], tried[REPLAYED:]
    found = []
    for trial, told in first:
        distance = math.inf
        with suppress(PiddmError):
            samples = Mapped(arrays, told, pde)
            own = samples.place(pde)
            fields = {k: v.double() for k, v in samples.read(0, 1).items()}
            again = replay(own, fields, samples.grid, NODES)
            distance = max(again.distance.values(), default=math.inf)
        found.append((replace(trial, distance=distance), told))
    if not any(math.isfinite(t.distance or 0.0) for t, _ in found):
        return tried
    found.sort(key=lambda pair: pair[0].distance)
    return [*found, *rest]


def _by_score(pair: tuple[Trial, DataMap]) -> float:
    return pair[0].score


def _tried(arrays: Arrays, pde: PDE, told: DataMap, where: str) -> tuple[Trial, DataMap]:
    choice = _text(told, where)
    try:
        return Trial(choice, score(pde, Mapped(arrays, told, pde))), told
    except PiddmError as error:
        return Trial(choice, math.inf, str(error)), told


def _named_otherwise(
    arrays: Arrays, said: Said, pde: PDE, reader: str, stated: Mapping[str, list[ParamMap]],
    tried: list[tuple[Trial, DataMap]],
) -> list[tuple[Trial, DataMap]]:  # fmt: skip
    """Return choices of arrays that are called as other fields, where that helps.

    Names that are the equation's are believed as long as the equation does not say otherwise.
    """
    before = [told for _, told in tried]
    every = _choices(arrays, said, pde, reader, stated, by_name=False)
    found = [_tried(arrays, pde, told, where)
             for where, told in itertools.islice(every, MOST) if told not in before]  # fmt: skip
    return [pair for pair in found if pair[0].score < HELPS * tried[0][0].score]


def _choices(
    arrays: Arrays, said: Said, pde: PDE, reader: str, stated: Mapping[str, list[ParamMap]],
    by_name: bool = True,
) -> Iterator[tuple[str, DataMap]]:  # fmt: skip
    """Yield maps with params as they are stated, and where their nodes are."""
    inputs = [g.name for g in pde.inputs if isinstance(g, Field)]
    signed = [n for n in inputs if pde.bounds.get(n, (None, None)) == (None, None)]
    params = {name: first for name, (first, *_) in stated.items()}
    for plain in field_choices(arrays, said, pde, by_name):
        for fields in unit_choices(arrays, pde, plain):
            there = [n for n in signed if n in fields]
            free = [n for n in there if not any(p.offset for p in fields[n])]
            signs = itertools.product(*[(1.0, -1.0)] * len(free))
            for (where, axes), sign in itertools.product(
                axis_choices(arrays, said, pde, fields), signs
            ):
                factors = dict(zip(free, sign, strict=True))
                yield where, DataMap(
                    pde=pde.name, reader=reader, axes=axes, params=params,
                    fields={k: _signed(v, factors.get(k, 1.0)) for k, v in fields.items()},
                )  # fmt: skip


def _other_params(
    arrays: Arrays, pde: PDE, best: tuple[Trial, DataMap], stated: Mapping[str, list[ParamMap]]
) -> list[tuple[Trial, DataMap]]:
    """Return a choice with other values of its params, one after the other, the best kept."""
    found = []
    for name, (_, *others) in stated.items():
        trial, told = best
        for other in others:
            params = {**told.params, name: other}
            changed = told.model_copy(update={"params": params})
            found.append(_tried(arrays, pde, changed, trial.choice["nodes"]))
            best = min(best, found[-1], key=_by_score)
    return found


def _transposed(
    arrays: Arrays, said: Said, pde: PDE, tried: list[tuple[Trial, DataMap]]
) -> list[tuple[Trial, DataMap]]:
    """Return the likeliest choices with two axes of space the other way round, where that helps.

    Many equations are the same either way, so that this is tried only where nothing else fits.
    """
    space = [n for n, a in pde.grid.axes.items() if not a.time]
    found = []
    for first, second in itertools.combinations(space, 2):
        swap = {first: second, second: first}
        for trial, told in tried[:REPLAYED]:
            if any(p.key in said.orders for pieces in told.fields.values() for p in pieces):
                continue
            fields = {
                k: tuple(p.model_copy(update={"order": tuple(swap.get(o, o) for o in p.order)})
                         for p in pieces)
                for k, pieces in told.fields.items()
            }  # fmt: skip
            other = told.model_copy(update={"fields": fields})
            found.append(_tried(arrays, pde, other, trial.choice["nodes"]))
    return [pair for pair in found if pair[0].score < HELPS * tried[0][0].score]


def _signed(pieces: tuple[FieldMap, ...], sign: float) -> tuple[FieldMap, ...]:
    return tuple(p.model_copy(update={"factor": p.factor * sign}) for p in pieces)


def _text(told: DataMap, where: str) -> dict[str, str]:
    """Return what a map chooses, for people."""
    said: dict[str, str] = {}
    for name, pieces in told.fields.items():
        said[name] = " and ".join(_array_text(p) for p in pieces)
        said["axes"] = ", ".join(pieces[0].order)
    said["nodes"] = where
    for name, param in told.params.items():
        value = param.key or f"{(param.value or 0.0) * param.factor:.6g}"
        said[name] = value + (f" ({param.factor:.4g} of it)" if param.factor != 1 else "")
    return said


def _array_text(piece: FieldMap) -> str:
    text = piece.key + (f"[{piece.channel}]" if piece.channel else "")
    if piece.offset:
        return f"{piece.offset:g} + {piece.factor:g} {text}"
    return ("-" if piece.factor < 0 else "") + text
