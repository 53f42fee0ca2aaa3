"""Blur an image in threads, strip by strip, and see whether it pays.

    python image_filter.py [--quick]

NumPy releases the GIL while it computes on large arrays, so the strips of one image can
be blurred side by side. Strips that fit into a CPU's cache are best, and each must be
large enough that little of its time needs the GIL.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt

import gilx
from gilx.errors import WatchUnavailableError

WEIGHTS = np.array([1, 6, 15, 20, 15, 6, 1], np.float32) / 64
REACH = len(WEIGHTS) // 2
ROWS = 64  # in a strip

Pixels = npt.NDArray[np.float32]


def blur(image: Pixels, first: int, last: int) -> Pixels:
    """Return the rows `first` to `last`, blurred; the image has a margin of REACH."""
    height, width = last - first, image.shape[1] - 2 * REACH
    down = np.zeros((height, image.shape[1]), np.float32)
    for k, weight in enumerate(WEIGHTS):
        down += weight * image[first + k : last + k]
    strip = np.zeros((height, width), np.float32)
    for k, weight in enumerate(WEIGHTS):
        strip += weight * down[:, k : k + width]
    return strip


def main() -> None:
    """Blur one image alone and in threads, compare, and report the effect of the GIL."""
    parser = argparse.ArgumentParser(description="Blur an image in threads.")
    parser.add_argument("--quick", action="store_true", help="a smaller image")
    quick = parser.parse_args().quick
    size, budget = (600, 1) if quick else (3000, 5)
    image = np.random.default_rng(0).random((size, size), np.float32)
    image = np.pad(image, REACH, mode="edge")
    firsts = range(0, size, ROWS)
    lasts = [min(first + ROWS, size) for first in firsts]
    strips = partial(blur, image)

    began = time.perf_counter()
    alone = list(map(strips, firsts, lasts))
    between = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(strips, firsts, lasts))
    ended = time.perf_counter()
    assert (np.vstack(alone) == np.vstack(together)).all()
    print(
        f"{size} rows: {(between - began) * 1e3:.0f} ms in one thread,"
        f" {(ended - between) * 1e3:.0f} ms in two"
    )

    # Both may be chance. How much of a strip's time holds the GIL, and what do two
    # threads gain by it, next to what this machine could give just then?
    call = partial(strips, 0, ROWS)
    try:
        print(f"a strip: {gilx.probe(call, budget=budget).sentence()}")
    except WatchUnavailableError as error:
        print(error)
    print(gilx.measure(call, workers=2, budget=2 * budget))


if __name__ == "__main__":
    main()
