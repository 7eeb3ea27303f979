"""Ways to answer a task, each in its own file; made by name from the register of solvers."""
