"""Settings of what is chosen by name, checked against what its class takes before any work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from piddm.tools.errors import UsageError, nearest
from piddm.tools.files import first_problem


def known(
    make: Callable[..., Any], handed: int = 1, named: Collection[str] = ()
) -> dict[str, inspect.Parameter]:
    """Return what a class takes beside what it is handed: its settings by name.

    Args:
        make: The class, or a function.
        handed: How many arguments it is handed, the first ones.
        named: Names of others that it is handed by name.
    """
    own = list(inspect.signature(make).parameters.values())[handed:]
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {p.name: p for p in own if p.kind in kinds and p.name not in named}


def checked(
    whose: str, make: Callable[..., Any], given: Mapping[str, Any], handed: int = 1,
    named: Collection[str] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return settings of the types that a signature announces.

    Args:
        whose: Its kind and name, for messages.
        make: Its class.
        given: Values by name; text, as a command line gives it, is read as the type.
        handed: How many arguments it is handed, the first ones.
        named: Names of others that it is handed by name.

    Raises:
        UsageError: If a setting is not known, is missing, or is of another type.
    """
    takes = known(make, handed, named)
    hints = _types(make, takes)
    found = {}
    for name, value in given.items():
        if name not in takes:
            has = f"; known: {', '.join(takes)}" if takes else "; it has none"
            close = nearest(name, takes)
            hint = close + has if close.startswith("; did") else has
            raise UsageError(f"the {whose} has no setting {name!r}{hint}")
        wanted = TypeAdapter(hints.get(name, Any))
        try:
            found[name] = (
                wanted.validate_strings(value)
                if isinstance(value, str)
                else wanted.validate_python(value, strict=True)
            )
        except ValidationError as error:
            raise UsageError(
                f"the setting {name} of the {whose}: {first_problem(error)}, not {value!r}"
            ) from error
        if isinstance(found[name], float) and not math.isfinite(found[name]):
            raise UsageError(f"the setting {name} of the {whose} is not finite: {value}")
    for name, parameter in takes.items():
        if name not in found and parameter.default is parameter.empty:
            raise UsageError(f"the {whose} needs the setting {name}")
    return found


def _types(make: Callable[..., Any], takes: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the settings' types; the run's own may be there for type checkers only."""
    written = {name: p.annotation for name, p in takes.items() if p.annotation is not p.empty}
    holder = type("Settings", (), {"__annotations__": written})
    function = make.__init__ if inspect.isclass(make) else make
    return get_type_hints(holder, globalns=getattr(function, "__globals__", None))
