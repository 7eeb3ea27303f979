"""Data against an equation: is it theirs, how well, and what is probably wrong where it is not."""
