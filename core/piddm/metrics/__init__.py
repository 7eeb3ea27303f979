"""Measures of samples, one file each, and their records."""
