"""The program: its commands, its global options, and what it says when something fails."""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer

from piddm.cli import interruption, plugins
from piddm.tools import launched, stopping
from piddm.tools.about import __version__
from piddm.tools.errors import PiddmError, SchemeWarning, printable

SHARED = ("simulate", "train", "distill")
"""Commands whose work several processes share."""


class Guarded(plugins.PluginGroup):
    """Turns every failure of a command into one line and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--debug`` stand anywhere: people append it to the command that failed."""
        if "--debug" in args:
            args = ["--debug", *(a for a in args if a != "--debug")]
        try:
            return super().parse_args(ctx, args)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or interruption.noted():
                typer.echo(interruption.LINE, err=True)
                raise typer.Exit(interruption.CODE) from error
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run; of several processes, all run those that share their work."""
        name, command, rest = super().resolve_command(ctx, args)
        if launched.asked()[1] > 1 and name not in SHARED:
            if launched.asked()[0] > 0:
                raise typer.Exit
            typer.echo(f"piddm {name} runs in one process: the others rest", err=True)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, stopping.Stopped) as error:
            failure: BaseException = error
            line, code = interruption.LINE, interruption.CODE
        except PiddmError as error:
            failure = error
            line, code = f"error: {' '.join(str(error).split())}", error.exit_code
        except Exception as error:
            # Usage errors, exits and a closed pipe are the parser's business.
            parsers = hasattr(error, "exit_code") or isinstance(error, typer.Abort)
            if parsers or isinstance(error, BrokenPipeError):
                raise
            failure = error
            line, code = _unexpected(error), 1
        if stopping.noted():
            line, code = stopping.LINE, stopping.CODE
        if interruption.noted():  # an import makes something else of it
            line, code = interruption.LINE, interruption.CODE
        if ctx.params.get("debug"):
            traceback.print_exception(failure)
        launched.complain(line)
        raise typer.Exit(code)


def _unexpected(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    advice = "run with --debug for the traceback"
    if isinstance(error, MemoryError) or "memory" in text.lower():
        advice = "lower data.size, the batches or network.widths; " + advice
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        advice = "free some space and run the same command again; " + advice
    return f"error: {type(error).__name__}{f': {text}' if text else ''}; {advice}"


app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    epilog="Terms of tables and figures (floor, scale, MMSE, ...) are defined at the end of each "
    "run's report.html and, with formulas, in docs/vocabulary.md.",
    # Plain help: rich would double the time to the first line.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"piddm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="PIDDM_DEBUG", help="Show tracebacks of errors.")
    ] = False,
    plugin: plugins.PluginFiles = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """From an equation to a one-step generator that respects it."""
    # What an equation prints must not fail on a terminal that lacks its characters.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore
    show = warnings.showwarning

    def shown(
        message: Warning | str, category: type[Warning], filename: str, *rest: Any, **more: Any
    ) -> None:
        if issubclass(category, SchemeWarning):  # of the equation, not of a line of a program
            typer.echo(f"warning: {printable(str(message))}", err=True)
        else:
            show(message, category, filename, *rest, **more)

    warnings.showwarning = shown
