"""Network calls, counted where they happen rather than declared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@dataclass
class Calls:
    """Passes through networks, one for each sample in a batch: forward ones and backward ones."""

    forward: int = 0
    backward: int = 0

    @property
    def total(self) -> int:
        """Both together, as a backward pass costs no less than a forward one."""
        return self.forward + self.backward


@contextmanager
def counting(networks: Iterable[nn.Module] | Mapping[nn.Module, int]) -> Iterator[Calls]:
    """Count the calls of these networks while the context is open.

    Args:
        networks: The networks, or each with the network calls that one pass through it makes.
    """
    calls = Calls()

    each = networks if isinstance(networks, Mapping) else dict.fromkeys(networks, 1)

    def watch(network: nn.Module, worth: int) -> RemovableHandle:
        def forward(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            calls.forward += worth * len(output)
            if output.requires_grad:
                output.register_hook(backward)

        def backward(slope: Tensor) -> None:
            calls.backward += worth * len(slope)

        return network.register_forward_hook(forward)

    with ExitStack() as stack:
        for network, worth in each.items():
            stack.callback(watch(network, worth).remove)
        yield calls
