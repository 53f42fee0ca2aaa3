"""The GIL watch: holders of the GIL, costs for other threads, and predictions."""
