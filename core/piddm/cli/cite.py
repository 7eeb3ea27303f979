"""The command that prints sources: ``cite``."""

from __future__ import annotations

import typer

from piddm.cli import options
from piddm.cli.output import print_json


def cite(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    model: options.Model = None,
    json: options.Json = False,
) -> None:
    """Print the sources of the methods that a run used, as BibTeX."""
    loaded = options.opened(run, pde, model, "cpu")
    from piddm.reports.citing import equation_note, sources

    found = sources(loaded.config)
    if json:
        print_json([source.to_dict() for source in found])
        return
    typer.echo(equation_note(loaded.pde))
    for source in found:
        typer.echo(f"\n% {source.used}\n{source.bibtex}")
