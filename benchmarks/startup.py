"""What starting costs: ``import gilx``, the command, and a plugin that nobody uses.

Whole processes are timed, in blocks of random order, and what an empty interpreter takes
is subtracted within each block. So it is what a user waits for: finding the files,
reading and running them. They are in the page cache, as they are for who starts a thing
twice. Run it with nothing else running::

    python benchmarks/startup.py [--blocks N]

``import numpy`` and pytest without the plugin stand beside, for scale.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from figures import Figure, difference, table

from gilx.environment import describe
from gilx.meter.blocks import time_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = 41
_NOTHING = ("-c", "pass")
_TESTS = "def test_nothing():\n    pass\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    options = parser.parse_args()
    print(describe(), "\n")
    print(table(figures(options.blocks)))


def figures(blocks: int = BLOCKS) -> list[Figure]:
    """Time everything in one run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text(_TESTS, "utf-8")
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_nothing.py")
        commands = {
            "nothing": _NOTHING,
            "import gilx": ("-c", "import gilx"),
            "import numpy": ("-c", "import numpy"),
            "gilx --version": ("-m", "gilx", "--version"),
            "pytest": pytest,
            "pytest without": (*pytest, "-p", "no:gilx"),
        }
        arms: dict[str, Callable[[], float]] = {
            name: partial(_run, words, folder) for name, words in commands.items()
        }
        seconds = time_blocks(arms, blocks)
    above = partial(difference, unit="ms", scale=1e3)
    nothing, without = seconds["nothing"], seconds["pytest without"]
    return [
        above("import gilx", seconds["import gilx"], nothing, wanted=5),
        above("gilx --version", seconds["gilx --version"], nothing),
        above("import numpy", seconds["import numpy"], nothing),
        above("the idle pytest plugin", seconds["pytest"], without, wanted=10),
        above("pytest without it", without, nothing),
    ]


def _run(words: tuple[str, ...], folder: str) -> float:
    """Return the seconds that a Python takes to do something and to end."""
    begin = perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    return perf_counter() - begin


if __name__ == "__main__":
    main()
