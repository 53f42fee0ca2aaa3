"""The speedup meter."""
