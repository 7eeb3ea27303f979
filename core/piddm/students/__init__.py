"""Students, one method per file."""
