"""Names that stand in files, folders, tables and on the command line."""

from __future__ import annotations

from piddm.tools.errors import UsageError

LONGEST = 64
"""Characters of a name, at most: it is part of names of files."""

STRANGE = set('/\\,;=@:*?"<>|#%')
"""Characters that mean something in a path, in a choice such as ``u@t=0,nu``, or to a shell."""


def check_name(name: object, what: str) -> None:
    """Refuse a name that would fail, or harm, where it is written.

    Args:
        name: The name.
        what: What has it, for people: ``"the field"``.

    Raises:
        UsageError: If it is empty or too long, or has control characters or signs in it that mean
            something elsewhere.
    """
    sound = (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST
        and name.isprintable()
        and not any(c in STRANGE for c in name)
        and not name.startswith((".", "-", " "))
        and not name.endswith(" ")
    )
    if not sound:
        raise UsageError(
            f"{what} cannot be called {str(name)[:LONGEST]!r}; take letters, digits, '-' and '_', "
            f"{LONGEST} at the most"
        )


def check_label(label: object, what: str) -> None:
    """Refuse a label of rows that tables and files cannot show.

    Raises:
        UsageError: If it is empty or too long, or has control characters or a slash in it.
    """
    text = isinstance(label, str) and label.strip() and label.isprintable()
    if not text or "/" in str(label) or len(str(label)) > LONGEST:
        raise UsageError(f"{what}: {str(label)[:LONGEST]!r} is no name for a row")
