"""Teachers, one method per file. piddm.methods names them."""
