"""Draw the README's picture from a run on this machine: python docs/make_pictures.py.

It takes some seconds on a machine with nothing else to do, and needs the extra ``plot``.
"""

from __future__ import annotations

from pathlib import Path

import gilx
from gilx.rendering.bar_chart import bars_picture

PLACE = Path(__file__).with_name("pictures") / "held_and_released.png"


def main() -> None:
    """Measure held and released kernels as chapter 6 of the demo does, and draw them."""
    chapter = gilx.run_demo([6]).extension
    assert chapter is not None
    chart = chapter.picture()
    assert chart is not None
    PLACE.parent.mkdir(exist_ok=True)
    title = "A kernel on two threads, holding the GIL and releasing it"
    bars_picture(chart, title).save(PLACE)


if __name__ == "__main__":
    main()
