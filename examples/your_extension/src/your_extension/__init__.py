"""Compiled functions that release the GIL, and one that only seems to."""

from your_extension._distance import mean_distance, mean_distance_wrong
from your_extension._mix import mix

__all__ = ["mean_distance", "mean_distance_wrong", "mix"]
