"""The command that lists trained models: ``models``. It does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from piddm.cli.options import Json, say
from piddm.cli.output import print_json, print_table

SHOWN = ("pde_error_normalised", "energy_distance")
"""Scores in the table; ``--json`` has all."""


def models(json: Json = False) -> None:
    """List the trained models that come with plugins, for --model of sample and solve."""
    from piddm.plugins import loader
    from piddm.tools.errors import PiddmError

    plugins, found = loader.current(), []
    for entry in plugins.list_all("model"):
        own = {"name": entry.name, "summary": entry.summary, "plugin": entry.plugin}
        try:
            found.append(own | described(plugins.get("model", entry.name)))
        except PiddmError as error:
            say(f"model {entry.name!r}: {error}")
    if json:
        print_json(found)
        return
    rows = [
        [
            m["name"],
            m["equation"],
            "x".join(map(str, m["nodes"])),
            f"{m['bytes'] / 1e6:.1f}",
            f"{m['scores']['student']['nfe']}",
            *(f"{m['scores']['student'][k]:.3g} ({m['scores']['truth'][k]:.3g})" for k in SHOWN),
            m["summary"],
        ]
        for m in found
    ]
    header = ["model", "equation", "nodes", "MB", "calls", "PDE error (truth)",
              "energy distance (truth)", "summary"]  # fmt: skip
    print_table(header, rows)


def described(folder: Path) -> dict[str, Any]:
    """Return a model's card as plain data, for people and programs."""
    from piddm.runs import model_card

    card = model_card.read_card(folder)
    return {
        "equation": card.config.pde,
        "nodes": card.nodes,
        "bytes": model_card.size(folder, card),
        "teacher": model_card.TEACHER in card.digests,
        "scores": card.scores,
        "command": card.command,
        "seconds": card.seconds,
        "software": card.software,
        "folder": str(folder),
    }
