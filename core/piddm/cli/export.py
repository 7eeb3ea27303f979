"""The command that takes a student elsewhere: ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piddm.cli import options
from piddm.tools.errors import UsageError

NAMES = {"onnx": "student.onnx", "page": "student.html"}
"""What a student becomes, and the file's name by default."""


def export(
    run: options.RunFolder = None,
    pde: options.NewestOf = None,
    model: options.Model = None,
    to: Annotated[
        str, typer.Option("--to", help="onnx, or page: one HTML file that runs by itself.")
    ] = "onnx",
    unpolished: Annotated[
        bool,
        typer.Option("--unpolished", help="Leave out the Newton step that a student may end with."),
    ] = False,
    runtime: Annotated[
        Path | None,
        typer.Option(help="For --to page: onnxruntime-web's npm package, instead of npm pack."),
    ] = None,
    largest: Annotated[
        float, typer.Option(min=0, help="For --to page: megabytes that it may have.")
    ] = 6.0,
    out: Annotated[Path | None, typer.Option(help="File to write.")] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write a student as an ONNX file, or as one page that runs it in a browser."""
    if to not in NAMES:
        raise UsageError(f"--to {to}: choose {' or '.join(NAMES)}")
    if runtime is not None and to != "page":
        raise UsageError("--runtime is the page's: drop it, or --to page")
    from piddm.portable.tracing import check_installed

    check_installed()
    loaded = options.opened(run, pde, model, "cpu")
    target = options.writable(out or loaded.outputs / NAMES[to], overwrite or out is None)
    if to == "onnx":
        from piddm.portable.onnx_file import write_onnx

        told = write_onnx(loaded, target, unpolished)
        fields = ", ".join(f"{name} (batch, {_shape(told)})" for name in told["fields"])
        typer.echo(f"opset {told['opset']}, noise {tuple(told['noise'])} to {fields}")
        typer.echo(f"{told['checked']:.1e} deviations from torch at most, of 3 samples")
    else:
        from piddm.portable.page_file import write_page

        told = write_page(loaded, target, unpolished, runtime, options.say, largest)
        typer.echo(f"{told['checked']:.1e} deviations from torch at most; "
                   f"{told['away']:.2g} from the student itself, root mean square: "
                   f"{told['why']}")  # fmt: skip
    typer.echo(f"wrote {target}, {target.stat().st_size / 1e6:.2f} MB")


def _shape(told: dict) -> str:
    return ", ".join(str(axis["nodes"]) for axis in told["axes"].values())
