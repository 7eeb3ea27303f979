"""Readers of files of others: each opens one format as named arrays, and says what it means."""
