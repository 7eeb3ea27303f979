"""A run: its folder, fingerprints, models, workspace (what it has) and stages (what is done)."""
