"""The GIL watch: who holds the GIL, seen without taking it."""
