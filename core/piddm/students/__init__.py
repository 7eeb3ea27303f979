"""Students, one method per file. piddm.plugins.builtin names them."""
