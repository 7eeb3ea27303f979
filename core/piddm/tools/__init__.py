"""Errors, files, HDF5, random numbers, progress, checked settings: tools that know no field."""
