"""The command that looks at the installation: ``doctor``."""

from __future__ import annotations

import typer

from piddm.cli import options
from piddm.cli.output import print_json, print_table


def doctor(json: options.Json = False) -> None:
    """Look at the installation: versions, devices, plugins, disk.

    Exit code 1 where there is something to do.
    """
    from piddm.reports.health import examine

    found = examine()
    if json:
        print_json([finding.to_dict() for finding in found])
    else:
        print_table(["", "found", "to do"], [[f.name, f.value, f.advice] for f in found])
    if any(finding.advice for finding in found):
        raise typer.Exit(1)
