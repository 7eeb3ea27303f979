"""Teachers, one method per file."""
