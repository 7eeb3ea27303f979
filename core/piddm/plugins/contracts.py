"""Requirements of an interface, and the refusal, by name, of what offers less."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from piddm.plugins.lines import line_of
from piddm.tools.errors import PiddmError


def one_line(error: BaseException) -> str:
    """Return an error's text on one line, with its type where that says something."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return text if isinstance(error, PiddmError) else f"{kind}: {text}" if text else kind


def unwritten(make: Any) -> list[str]:
    """Return the methods of its interface that a class leaves unwritten."""
    return sorted(getattr(make, "__abstractmethods__", ()))


def obtained(
    what: str, make: Callable[..., Any], interface: type, *given: Any, **settings: Any
) -> Any:
    """Call what a plugin registered; a failure of its code is told by name.

    Args:
        what: What is built, for messages: ``the teacher 'plain' of plugin 'mine'``.
        make: A class or a function.
        interface: What it is to be: a class whose annotations are what it must have.
        *given: What it is called with.
        **settings: The same by name.

    Raises:
        PiddmError: If it fails, returns something else, or lacks what the interface asks for.
    """
    _refuse(what, unwritten(make), interface)
    try:
        made = make(*given, **settings)
    except PiddmError:
        raise
    except Exception as error:
        line = line_of(error, lambda frame: frame.f_globals.get("__name__") == make.__module__)
        at = f"{line}: " if line else ""
        raise PiddmError(f"{what} cannot be built: {at}{one_line(error)}") from error
    if not isinstance(made, interface):
        raise PiddmError(
            f"{what} is of type {type(made).__name__}, not {interface.__module__}."
            f"{interface.__qualname__}; derive it from that"
        )
    announced = inspect.get_annotations(interface)
    _refuse(what, [name for name in announced if not hasattr(made, name)], interface)
    return made


def _refuse(what: str, missing: list[str], interface: type) -> None:
    if missing:
        asks = f"{interface.__module__}.{interface.__qualname__}"
        raise PiddmError(f"{what} has no {', '.join(missing)}, which {asks} asks for; write it")
