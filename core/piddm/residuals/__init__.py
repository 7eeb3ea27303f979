"""A specification and a grid become rows: compiled, on a sphere, wrapped, measured."""
