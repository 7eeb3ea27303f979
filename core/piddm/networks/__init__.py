"""Backbones, one file each: ``network(x, t)`` on packed images; plugins.builtin names them."""
