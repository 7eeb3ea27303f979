"""Checks of what plugins bring beside equations: teachers, students, methods, solvers and so on.

Each builds the thing on one small problem (:mod:`piddm.conformance.problem`), as the engine would,
and asks of it what its interface promises. :mod:`piddm.testing` is their face.
"""
