"""Jacobians, Newton's method, the derived solver, nearest solutions."""
