"""How long a result of a program is needed, and whose memory it is written to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from piddm.residuals.programs.steps import Constant, Load, Scalar, sources

if TYPE_CHECKING:
    from piddm.residuals.programs.program import Program


def written_out(program: Program, results: Mapping[str, int]) -> dict[int, int]:
    """Return the results that are computed where the caller finds them, with their buffers.

    Args:
        program: The program.
        results: The buffer of each output.
    """
    used = {s for step in program.steps for s in sources(step)}
    found: dict[int, int] = {}
    for name, (position, _) in program.outputs.items():
        mere = isinstance(program.steps[position], (Load, Constant, Scalar))
        if position not in used and not mere:
            found.setdefault(position, results[name])
    return found


def last_reads(program: Program, keep: bool) -> list[list[int]]:
    """Return, for each step, the results whose memory nobody reads after it.

    Args:
        program: The program.
        keep: Whether what a derivative needs is kept to the end.
    """
    last: dict[int, int] = {}

    def read(position: int, at: int) -> None:
        if position in program.fused:
            for source in sources(program.steps[position]):
                read(source, at)
        elif not isinstance(program.steps[position], (Load, Constant, Scalar)):
            last[position] = at

    for at, step in enumerate(program.steps):
        if at not in program.fused:
            for source in sources(step):
                read(source, at)
    for position, _ in program.outputs.values():
        last.pop(position, None)
    out: list[list[int]] = [[] for _ in program.steps]
    for position, at in last.items():
        if not keep or position not in program.kept:
            out[at].append(position)
    return out
