"""Pictures that objects draw of themselves: a data set, an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from piddm.figures.gallery import gallery
from piddm.figures.solutions import solution
from piddm.plugins.loader import current
from piddm.residuals.residual import Fields
from piddm.symbolic.operators import Field

if TYPE_CHECKING:
    from piddm.data.dataset import Dataset
    from piddm.tasks.solution import Solution


def of_dataset(data: Dataset) -> Figure:
    """Draw the first few solutions of a data set, a row for each field.

    Args:
        data: The data set.
    """
    names = [name for name, values in data.fields.items() if values.ndim > 1]
    return gallery(_fields(data.pde, names), data.fields, data.grid)


def of_solution(found: Solution, truth: Fields | None = None) -> Figure:
    """Draw an answer: observations, mean and deviation, a row for each field.

    Args:
        found: The answer.
        truth: Fields ``(*grid.shape)`` and params, where they are known.
    """
    names = [name for name, values in found.fields.items() if values.ndim > 1]
    return solution(found, fields=_fields(found.pde, names), truth=truth)


def _fields(pde: str, names: list[str]) -> list[Field]:
    """Return fields with what the equation calls them, where it is a registered one."""
    known: dict[str, Field] = {}
    if pde in {entry.name for entry in current().list_pdes()}:
        known = {field.name: field for field in current().get_pde(pde).fields}
    return [known.get(name, Field(name)) for name in names]
