"""Objects as prompts and notebooks show them: lines of text, and a picture from a room above."""

from __future__ import annotations

import base64
import importlib
import io
from abc import ABC, abstractmethod
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = "piddm.figures.plots"
"""Module that draws; it is known by name only, since it lies in a room above."""

DOTS = 110
"""Dots per inch of pictures in notebooks."""


class Shown(ABC):
    """Base of objects that have a text of a few lines and a picture."""

    @abstractmethod
    def in_words(self) -> str:
        """Return the text, several lines."""

    @abstractmethod
    def plot(self) -> Figure:
        """Return the picture."""

    def __repr__(self) -> str:
        return self.in_words()

    def _repr_html_(self) -> str:
        return html(self.in_words(), self.plot())


def drawn(by: str, thing: Any, **more: Any) -> Figure:
    """Return the picture of a thing, drawn by a function of :mod:`piddm.figures.plots`."""
    return getattr(importlib.import_module(PLOTS), by)(thing, **more)


def html(text: str, picture: Figure | Path | None = None) -> str:
    """Return lines of text, and a picture below them, as HTML that needs nothing else.

    Args:
        text: The text.
        picture: A figure, or a PNG file.
    """
    found = f"<pre>{escape(text)}</pre>"
    if picture is None:
        return found
    if isinstance(picture, Path):
        content = picture.read_bytes()
    else:
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=DOTS)
        content = buffer.getvalue()
    data = base64.b64encode(content).decode()
    return f'{found}<img alt="{escape(text.splitlines()[0])}" src="data:image/png;base64,{data}">'


def lines(title: str, rows: dict[str, str]) -> str:
    """Return a title and, indented, names with what is said of each; empty ones are left out."""
    rows = {name: said for name, said in rows.items() if said}
    width = max(map(len, rows), default=0)
    return "\n".join([title, *(f"  {name:<{width}}  {said}" for name, said in rows.items())])
