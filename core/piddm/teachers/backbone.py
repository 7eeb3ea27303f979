"""The networks that a configuration names, built for packed states."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from piddm.config import ChosenConfig, NetworkConfig
from piddm.data.packing import Packing
from piddm.plugins.contracts import one_line
from piddm.plugins.loader import current
from piddm.tools.errors import PiddmError, UsageError
from piddm.tools.settings import checked

NAMED = ("widths", "depth", "fold", "mixed", "spherical")
"""Arguments that every backbone is handed by name."""


def own_settings(
    kind: str, chosen: ChosenConfig, handed: int = 1, named: Collection[str] = ()
) -> dict[str, Any]:
    """Return the settings of what is chosen by name, checked against what it takes.

    Args:
        kind: ``teacher``, ``student`` or ``backbone``.
        chosen: Its name and settings.
        handed: How many arguments it is handed, the first ones.
        named: Names of others that it is handed.

    Raises:
        UsageError: If the name is not known, or it has no such setting.
    """
    make = current().get(kind, chosen.name)
    return checked(f"{kind} {chosen.name}", make, chosen.settings, handed, named)


def build_backbone(settings: NetworkConfig, packing: Packing) -> nn.Module:
    """Return a network with fresh weights: packed states and times to an offset and a gate.

    Args:
        settings: Its name and sizes.
        packing: The states.

    Raises:
        UsageError: If a name or a setting is not known, or the network cannot take the grid.
        PiddmError: If a plugin's network is none of this kind.
    """
    own = own_settings("backbone", settings, handed=3, named=NAMED)
    network: nn.Module = current().build(
        "backbone",
        settings.name,
        nn.Module,
        packing.channels,
        packing.image,
        packing.image_periodic,
        widths=settings.widths,
        depth=settings.depth,
        fold=settings.fold,
        mixed=native_bfloat16() if settings.mixed is None else settings.mixed,
        **_on_a_sphere(settings.name, packing.grid.spherical),
        **own,
    )
    if not current().built_in("backbone", settings.name):
        _refuse_thin(current().described("backbone", settings.name), network, packing)
    return network


@torch.no_grad()
def _refuse_thin(what: str, network: nn.Module, packing: Packing) -> None:
    """Ask a plugin's backbone once, so that it is refused by name and not where it is trained."""
    if type(network).forward is nn.Module.forward:
        raise PiddmError(f"{what} has no forward; write it")
    state = torch.zeros(1, packing.channels, *packing.image)
    try:
        found = network(state, torch.ones(1))
    except Exception as error:
        raise PiddmError(f"{what} cannot be called: {one_line(error)}") from error
    wanted = [1, 2 * packing.channels, *packing.image]
    if not isinstance(found, Tensor) or [*found.shape] != wanted:
        got = [*found.shape] if isinstance(found, Tensor) else type(found).__name__
        raise PiddmError(f"{what} returns {got}, not {wanted}: twice the channels that go in")


def _on_a_sphere(backbone: str, spherical: bool) -> dict[str, bool]:
    """Return what tells a backbone that its image is a sphere's; older ones know planes only."""
    if not spherical:
        return {}
    taken = inspect.signature(current().get("backbone", backbone)).parameters.values()
    if not any(p.name == "spherical" or p.kind is p.VAR_KEYWORD for p in taken):
        raise UsageError(
            f"the backbone {backbone!r} takes no 'spherical' and knows no poles; give it this "
            "argument, or choose another with --set network.name=unet"
        )
    return {"spherical": True}


def native_bfloat16() -> bool:
    """Return whether bfloat16 is fast here: on a GPU, or a processor with instructions for it."""
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.cuda.is_available() or native
