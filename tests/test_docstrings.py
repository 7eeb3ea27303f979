"""Every public name says what it takes, gives and refuses: arguments, shapes, errors.

Public are the names of the faces and, of classes among them, their public methods. A docstring
says what each argument is, what shape arrays have, and which errors the function itself raises.
Where arguments are another's, it names whose.
"""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator

import pytest

FACES = ("piddm", "piddm.interfaces", "piddm.testing")

ARRAYS = re.compile(r"\b(Tensor|NDArray|ndarray|ArrayLike|Fields)\b")
"""Annotations of what has a shape."""

SHAPE = re.compile(
    r"\([^()\n]*(?:,|\*)[^()]*\)|``\(|[Ss]hape|[Ss]calar|[Nn]umber|[Ss]ample|[Ff]ield|[Bb]atch"
)
"""What tells a shape: ``(batch, *axes)``, or the kind that has one by the data model."""

OTHERS = re.compile(r"arguments are|[Ss]ee :(meth|func|class)|as :(meth|func|class)|see ``")
"""Words that send a reader to another docstring for the arguments."""


def public() -> Iterator[tuple[str, object]]:
    seen = set()
    for face in FACES:
        module = importlib.import_module(face)
        for name in module.__all__:
            value = getattr(module, name)
            if id(value) in seen:
                continue
            seen.add(id(value))
            if not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            yield f"{face}.{name}", value
            for part, method in vars(value).items() if inspect.isclass(value) else ():
                plain = inspect.unwrap(getattr(method, "__func__", method))
                if not part.startswith("_") and inspect.isfunction(plain):
                    yield f"{face}.{name}.{part}", plain


def arguments(value) -> list[inspect.Parameter]:
    """Arguments but self; of a class those of its constructor, where it has one of its own."""
    if inspect.isclass(value):
        if not hasattr(value, "__dataclass_fields__") and "__init__" not in vars(value):
            return []
        value = value.__init__
        if getattr(value, "__qualname__", "").startswith(("object", "Protocol", "_no_init")):
            return []
    found = list(inspect.signature(value).parameters.values())
    return [p for p in found if p.name not in ("self", "cls") and not p.name.startswith("_")]


def raised(function) -> set[str]:
    """Errors that a function raises itself, by name; a bare ``raise`` passes on another's."""
    if not inspect.isfunction(function):
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [n.exc.func for n in ast.walk(tree)
             if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)]  # fmt: skip
    names = {c.id for c in calls if isinstance(c, ast.Name)}
    return names & {"UsageError", "PiddmError", "AssertionError"}


def faults(name: str, value) -> list[str]:
    """What a docstring leaves unsaid."""
    text = inspect.getdoc(value) or ""
    if not text.strip():
        return [f"{name}: no docstring"]
    found, first = [], text.strip().splitlines()[0]
    if not first.endswith((".", ":", "?")):
        found.append(f"{name}: the first line is no sentence")
    elsewhere = bool(OTHERS.search(text))
    taken = arguments(value)
    if len(taken) > 1 and not elsewhere:
        missing = [p.name for p in taken if not re.search(rf"\b{p.name}\b", text)]
        if missing:
            found.append(f"{name}: says nothing of {', '.join(missing)}")
    kinds = [str(p.annotation) for p in taken]
    if inspect.isfunction(value):
        kinds.append(str(inspect.signature(value).return_annotation))
    if any(ARRAYS.search(k) for k in kinds) and not (elsewhere or SHAPE.search(text)):
        found.append(f"{name}: arrays without a shape")
    told = text.partition("Raises:")[2]
    for error in raised(value):
        # An error that is refused as another kind of it is told by that.
        if error not in told and not (error == "UsageError" and "PiddmError" in told):
            found.append(f"{name}: raises {error} and does not say so")
    return found


def test_every_public_docstring_says_what_it_must():
    checked = list(public())
    assert len(checked) > 120
    assert [fault for name, value in checked for fault in faults(name, value)] == []


def bare(x, y):
    pass


def silent(x: int, y: int):
    """Return something of x."""
    raise __import__("piddm").PiddmError("no")


@pytest.mark.parametrize(
    ("function", "told"), [(bare, ["no docstring"]), (silent, ["says nothing of y"])]
)
def test_the_check_sees_what_is_left_out(function, told):
    found = faults("f", function)
    assert [fault.partition(": ")[2] for fault in found] == told
