"""Data sets: simulated or read, packed for networks, coloured."""
