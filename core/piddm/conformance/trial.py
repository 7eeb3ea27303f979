"""Base of the checks: a thing is built as the engine does, and what does not hold is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from piddm.plugins import current
from piddm.plugins.contracts import obtained
from piddm.tools.settings import checked

What = str | Callable[..., Any]
"""The thing that is checked: the name that it is registered under, or the class or function."""


class Trial:
    """One check of one thing.

    Args:
        kind: ``teacher``, ``student``, ``method``, ``solver``, ``backbone`` or ``metric``.
        what: What is checked.
    """

    def __init__(self, kind: str, what: What) -> None:
        self.kind, self.what = kind, what
        own = getattr(what, "__qualname__", None) or what
        self.name = f"the {kind} {own!r}"
        self.make: Callable[..., Any] = current().get(kind, what) if isinstance(what, str) else what

    def build(
        self, interface: type, handed: tuple[Any, ...], settings: dict[str, Any],
        named: Mapping[str, Any] | None = None,
    ) -> Any:  # fmt: skip
        """Build it as the engine does, its settings checked.

        Args:
            interface: What it is to be.
            handed: What it is handed.
            settings: Its own.
            named: What it is handed by name.

        Raises:
            PiddmError: If it cannot be built, or lacks what its interface asks for.
        """
        named, whose = named or {}, self.name.removeprefix("the ")
        own = checked(whose, self.make, settings, len(handed), named)
        return obtained(self.name, self.make, interface, *handed, **named, **own)

    def hold(self, condition: bool | Tensor, otherwise: str) -> None:
        """Go on where a condition holds.

        Raises:
            AssertionError: If it does not.
        """
        if not bool(condition):
            raise AssertionError(f"{self.name}: {otherwise}")

    def same(self, one: Tensor, other: Tensor, otherwise: str, tolerance: float = 1e-4) -> None:
        """Go on where two tensors agree up to a share of their size; float32 rounds at 1e-7."""
        size = float(other.detach().abs().max()) + 1e-6
        self.hold(one.shape == other.shape, f"{otherwise}: shapes {[*one.shape]}, {[*other.shape]}")
        away = float((one - other).detach().abs().max()) / size
        self.hold(away <= tolerance, f"{otherwise}: they differ by {away:.2g} of their size")

    @contextmanager
    def from_generators(self) -> Iterator[None]:
        """Hold that nothing within draws from torch's global generator, or seeds it."""
        before = torch.random.get_rng_state()
        yield
        self.hold(
            torch.equal(before, torch.random.get_rng_state()),
            "it uses torch's global generator; draw from the one that is passed",
        )

    def loss(self, values: Any, module: nn.Module) -> dict[str, float]:
        """Hold that a loss is one: named scalars, ``loss`` among them, that move the module."""
        self.hold(isinstance(values, dict) and "loss" in values, "its loss is a dict with 'loss'")
        for name, value in values.items():
            scalar = isinstance(value, Tensor) and value.ndim == 0
            self.hold(scalar and value.isfinite(), f"{name!r} of its loss is no finite scalar")
        own = [p for p in module.parameters() if p.requires_grad]
        self.hold(len(own) > 0, "nothing of it can be trained")
        self.hold(values["loss"].requires_grad, "its loss has no gradient")
        slopes = torch.autograd.grad(values["loss"], own, allow_unused=True)
        moved = [s for s in slopes if s is not None and bool((s != 0).any())]
        self.hold(len(moved) > 0, "the gradient of its loss is zero")
        finite = all(bool(s.isfinite().all()) for s in moved)
        self.hold(finite, "the gradient of its loss is not finite")
        return {k: float(v.detach()) for k, v in values.items()}
