"""Backbones, one file each: ``network(x, t)`` on packed images."""

from piddm.networks.unet import UNet

NETWORKS = {"unet": UNet}
"""Backbones by the name that a configuration uses."""
