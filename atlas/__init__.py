"""Atlas of what releases the GIL: plans, results, and the script that measures."""
