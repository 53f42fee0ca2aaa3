"""Atlas of what releases the GIL: plans of calls, results, and the script that measures."""
