"""Students, one method per file. piddm.methods names them."""
