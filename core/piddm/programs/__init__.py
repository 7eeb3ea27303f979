"""What compiled expressions run as: lists of tensor operations with derivatives of their own.

:mod:`~piddm.programs.steps` are what a compiler emits, :mod:`~piddm.programs.optimise` makes fewer
of them, :mod:`~piddm.programs.program` evaluates, pushes and pulls, and
:mod:`~piddm.programs.execution` chooses how under each of torch's transforms.
"""
