"""Settings of a solver or a method, checked against what its class takes before any work."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from piddm.errors import UsageError, nearest
from piddm.files import first_problem


def known(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a class takes beside what is shared, its first argument: its settings by name."""
    own = list(inspect.signature(make).parameters.values())[1:]
    return {p.name: p for p in own if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}


def checked(whose: str, make: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of the types that a solver's signature announces.

    Args:
        whose: Its kind and name, for messages.
        make: Its class.
        given: Values by name; text, as a command line gives it, is read as the type.

    Raises:
        UsageError: If a setting is not known, is missing, or is of another type.
    """
    takes = known(make)
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
