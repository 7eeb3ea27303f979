"""For authors of plugins: ``new-plugin``, ``--plugin FILE``, and the commands of plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from piddm.tools.errors import UsageError

OPTION = "--plugin"
"""The option that names a file to load as a plugin."""

LENIENT = "plugins"
"""The command that shows what became of plugins, and so goes on where one failed."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Name of the new equation.")],
    out: Annotated[Path, typer.Option(help="Folder to write the package into.")] = Path(),
) -> None:
    """Write a package with an equation of your own."""
    from piddm.plugins.lines import shown
    from piddm.plugins.new_plugin import new_plugin as write

    folder = write(name, out)
    (equation,) = folder.glob("src/*/equation.py")
    typer.echo(f"wrote {folder}, which passes its own tests as it is. Next:")
    typer.echo(f"  1. put your equation into {shown(equation)}")
    typer.echo(f"  2. piddm verify --plugin {shown(equation)} {name.removeprefix('piddm-')}")
    typer.echo(f"  3. python -m pytest {shown(folder)}")
    typer.echo(f"  4. pip install -e {shown(folder)} && piddm list-pdes")


def _use(context: typer.Context, paths: list[Path] | None) -> list[Path] | None:
    if not context.resilient_parsing:
        from piddm.plugins.loader import use_files

        use_files(paths or [])
    return paths


PluginFiles = Annotated[
    list[Path] | None,
    typer.Option(
        OPTION,
        metavar="FILE.py",
        callback=_use,
        is_eager=True,  # the help lists what it brings
        help="Also load this file as a plugin, which runs it; give it repeatedly. "
        "PIDDM_PLUGINS names more.",
    ),
]


class PluginGroup(TyperGroup):
    """A program of the commands that plugins bring, piddm's own first, and ``--plugin`` anywhere.

    A command's file is imported when it runs; the list of commands needs none of them.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--plugin FILE`` stand after the command as well."""
        first, rest, words = [], [], iter(args)
        for word in words:
            if word == "--":  # what follows is not for options
                rest += [word, *words]
            elif word == OPTION and (value := next(words, None)) is not None:
                first += [word, value]
            else:
                (first if word.startswith(f"{OPTION}=") else rest).append(word)
        return super().parse_args(ctx, first + rest)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return piddm's own commands in their order and, after them, those of plugins."""
        from piddm.plugins.loader import current

        names = _brought()
        own = [name for name in names if current().built_in("command", name)]
        return own + sorted(names.keys() - set(own))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what the list of commands needs of one, without importing it."""
        summary = _brought().get(cmd_name)
        return None if summary is None else _command(cmd_name, summary, lambda: None)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command to run, imported here."""
        if args and args[0] != LENIENT:
            _refuse_failed_files(ctx.params.get("plugin") or [])
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            from piddm.plugins.loader import current

            own = current().built_in("command", name)
            function = current().get("command", name)
            command = _command(name, None if own else _brought()[name], function)
        return name, command, rest


def _brought() -> dict[str, str]:
    from piddm.plugins.loader import current

    return {entry.name: entry.summary for entry in current().list_all("command")}


def _command(name: str, summary: str | None, function: Any) -> Any:
    """Return a function as a command; its docstring is the help where no summary is given."""
    single = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    single.command(name, help=summary)(function)
    return typer.main.get_command(single)


def _refuse_failed_files(paths: list[Path]) -> None:
    """Stop where a file that was asked for by name could not be loaded.

    An installed plugin may fail beside a command that has no need of it; a file is named for it.
    """
    if not paths:
        return
    from piddm.plugins.file_plugins import distinct
    from piddm.plugins.loader import list_plugins

    named = {point.name for point in distinct(paths)}
    for record in list_plugins():
        if record.name in named and record.status == "failed":
            told = record.distribution in record.error
            at = "" if told else f"{record.distribution}: "
            raise UsageError(f"{OPTION} {at}{record.error}")
