"""Optimisation, pairs, losses, and the context that methods share."""
