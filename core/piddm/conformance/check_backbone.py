"""The promises of a backbone: twice the channels, for any state and time, sample by sample."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from piddm.conformance.problem import problem
from piddm.conformance.trial import Trial, What


def check_backbone(what: What, **settings: Any) -> None:
    """Check a backbone: its name, or the class itself.

    Args:
        what: The name that it is registered under, or what was registered.
        **settings: Its own, where it has some.

    Raises:
        AssertionError: If it does not keep what ``piddm_register_backbones`` promises.
        PiddmError: If it cannot be built.
    """
    trial, at = Trial("backbone", what), problem()
    packing, shared = at.packing, {"widths": (8, 8), "depth": 1, "fold": 2, "mixed": False}
    given = (packing.channels, packing.image, packing.image_periodic)

    def build() -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return trial.build(nn.Module, given, settings, shared)

    network, x, t = build(), at.noise(3), torch.tensor([0.1, 0.5, 1.0])
    wanted = [3, 2 * packing.channels, *packing.image]
    with trial.from_generators():
        found = network(x, t)
        trial.hold([*found.shape] == wanted, f"it returns {[*found.shape]} for {wanted}")
        trial.hold(found.isfinite().all(), "what it returns is not finite")
        _moved(trial, network, x, t)
    again = build()
    again.load_state_dict(network.state_dict())
    trial.same(again(x, t), network(x, t), "read back from its state it is another")
    trial.same(copy.deepcopy(network)(x, t), network(x, t), "a copy of it is another")


def _moved(trial: Trial, network: nn.Module, x: torch.Tensor, t: torch.Tensor) -> None:
    """Move its weights off what they begin with, which may be zero, and look again."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    found = network(x, t)
    trial.loss({"loss": found.square().mean()}, network)
    trial.same(network(x[:1], t[:1]), found[:1], "a state's answer depends on others of its batch")
    trial.hold(bool((network(x + 1, t) != found).any()), "it does not see the state")
    trial.hold(bool((network(x, t / 2) != found).any()), "it does not see the time")
