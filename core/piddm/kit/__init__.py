"""For authors of plugins: one-off files, the lines of mistakes, and a package to begin with."""
