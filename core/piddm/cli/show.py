"""Commands that look: ``list-pdes``, ``list-solvers``, ``list-methods``, ``plugins``, ``show``.

They do not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from piddm.cli.options import Json, say
from piddm.cli.output import print_json, print_table

if TYPE_CHECKING:
    from piddm.equation import PDE


def list_pdes(json: Json = False) -> None:
    """List the equations."""
    _list("equation", json)


def list_solvers(json: Json = False) -> None:
    """List the solvers that answer tasks."""
    _list("solver", json)


def list_methods(json: Json = False) -> None:
    """List what the benchmark compares: methods, and students."""
    _list("method", json, "student")


def _list(kind: str, json: bool, *more: str) -> None:
    from piddm.plugins import loader

    entries = [(k, e) for k in (kind, *more) for e in loader.current().list_all(k)]
    if json:
        print_json([vars(e) | ({"kind": k} if more else {}) for k, e in entries])
        return
    rows = [[e.name, *([k] if more else []), e.summary, e.plugin, e.distribution]
            for k, e in entries]  # fmt: skip
    print_table(["name", *(["kind"] if more else []), "summary", "plugin", "package"], rows)
    for record in loader.list_plugins():
        if record.status == "failed":
            say(f"plugin {record.name!r} failed: {record.error}")


def plugins(json: Json = False) -> None:
    """List the plugins and what each brings."""
    from piddm.plugins.loader import list_plugins

    records = list_plugins()
    if json:
        print_json([vars(record) for record in records])
        return
    rows = [
        [
            r.name,
            r.status,
            f"{r.distribution} {r.version}".strip(),
            r.error or ", ".join((*r.pdes, *r.methods)),
        ]
        for r in records
    ]
    print_table(["plugin", "status", "package", "what it brings, or the error"], rows)


def show(
    pde: Annotated[str, typer.Argument(help="The equation's name.")],
    latex: Annotated[bool, typer.Option("--latex", help="Formulas as LaTeX.")] = False,
    json: Json = False,
) -> None:
    """Show an equation."""
    from piddm.plugins.loader import get_pde

    equation = get_pde(pde)
    found = describe(equation)
    if latex:
        from piddm.symbolic.latex import formulas

        found |= formulas(equation)
    if json:
        print_json(found)
        return
    typer.echo(f"{found['name']}: {found['summary']}")
    titles = (
        "equations",
        "where",
        "conditions",
        "integrals",
        "fields",
        "params",
        "domain",
        "inputs",
    )
    for title in titles:
        if not found.get(title):
            continue
        typer.echo(f"\n{title}")
        width = max(map(len, found[title]))
        for name, value in found[title].items():
            typer.echo(f"  {name.ljust(width)}  {_text(value)}".rstrip())
    typer.echo(f"\ntime scheme  {found['time_scheme'] or 'none, the equation is static'}")
    typer.echo(f"order        {found['order']}")
    sizes = ", ".join(f"{name} {text}" for name, text in found["runs"].items())
    typer.echo(f"runs         {sizes} nodes; --set data.size=N takes another number")
    typer.echo(f"source       {found['source'] or 'not given'}")


def describe(pde: PDE) -> dict[str, Any]:
    """Return a specification as plain data."""
    from piddm.config import PRESETS, resolve
    from piddm.symbolic.text import equation_text

    static = not any(axis.time for axis in pde.grid.axes.values())
    return {
        "name": pde.name,
        "summary": pde.summary,
        "equations": {k: equation_text(v) for k, v in pde.equations.items()},
        "conditions": {k: c.text(pde.grid) for k, c in pde.conditions.items()},
        "integrals": {k: i.text(pde.grid) for k, i in pde.integrals.items()},
        "fields": {f.name: {"doc": f.doc, "unit": f.unit} for f in pde.fields},
        "params": {
            p.name: {"value": p.value, "doc": p.doc} | ({"kind": "free"} if p.free else {})
            for p in pde.params
        },
        "domain": pde.grid.to_dict(),
        "inputs": {str(k): repr(v) for k, v in pde.inputs.items()},
        "time_scheme": None if static else pde.time_scheme,
        "order": pde.order if isinstance(pde.order, (int, str)) else dict(pde.order),
        "source": pde.source,
        "runs": {
            name: " × ".join(map(str, resolve(pde.name, name).data.grid(pde.grid).shape))
            for name in PRESETS
        },
    }


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if "lower" in value:  # an axis
        end = "), periodic" if value["periodic"] else "]"
        kind = ", time" if value["time"] else ""
        span = f"[{value['lower']:g}, {value['upper']:g}{end}"
        where = f", location {value['location']}" if "location" in value else ""
        where = ", at unequal distances" if "nodes" in value else where
        return f"{span}{kind}, {value['size']} nodes of its own{where}"
    return ", ".join(f"{v:g}" if isinstance(v, float) else v for v in value.values() if v != "")
