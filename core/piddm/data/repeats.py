"""Samples that an equation's own ``simulate`` made before: they would be learnt and held out."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping

from torch import Tensor

from piddm.equation import PDE
from piddm.tools.errors import UsageError


class Repeats:
    """Looks for samples that are there twice, where nobody told the source which ones to make.

    Args:
        pde: The equation.
    """

    def __init__(self, pde: PDE) -> None:
        own = pde.simulate
        self._name = pde.name
        self._told = own is None or "indices" in inspect.signature(own).parameters
        self._seen: set[bytes] = set()

    def refuse(self, fields: Mapping[str, Tensor]) -> None:
        """Refuse samples that have all values of an earlier one, ``(count, ...)`` each.

        Raises:
            UsageError: If there is one.
        """
        if self._told:
            return
        whole = [values.detach().cpu().contiguous().numpy() for values in fields.values()]
        for sample in range(len(whole[0])):
            digest = hashlib.blake2b(digest_size=16)
            for values in whole:
                digest.update(values[sample].tobytes())
            if digest.digest() in self._seen:
                raise UsageError(
                    f"{self._name}: its own simulate made one sample twice, so that what is learnt "
                    "would be held out as well; let it take indices, a range that says which "
                    "samples it makes, and say how many it has in an attribute count"
                )
            self._seen.add(digest.digest())
