"""The GIL watch: who holds the GIL, what that costs others, and what it will cost."""
