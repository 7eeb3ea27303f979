"""Axes and grids, mean weights, eigenbases, spherical harmonics."""
