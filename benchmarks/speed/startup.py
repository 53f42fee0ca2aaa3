"""Cost of starting: ``import gilx``, the command, and an unused plugin.

Whole processes are timed, in blocks of random order, and what an empty interpreter takes
is subtracted within each block. So it is what a user waits for: finding the files,
reading and running them. They are in the page cache, as they are for who starts a thing
twice. Run it with nothing else running::

    python benchmarks/speed/startup.py [--blocks N]

``import numpy`` and pytest without the plugin stand beside, for scale. No other plugin of
pytest is loaded.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from functools import partial
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from figures import Measured, difference, run_script

from gilx.speedup.blocks import interleaved, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

FULL, QUICK = 41, 9  # blocks
_NOTHING = ("-c", "pass")
_TESTS = "def test_nothing():\n    pass\n"


def measure(_subject: str, blocks: int) -> Measured:
    """Time everything in one run of so many blocks."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text(_TESTS, "utf-8")
        pytest = ("-m", "pytest", "-q", *_other_plugins(), "test_nothing.py")
        commands = {
            "nothing": _NOTHING,
            "import gilx": ("-c", "import gilx"),
            "import numpy": ("-c", "import numpy"),
            "gilx --version": ("-m", "gilx", "--version"),
        }
        has_pytest = importlib.util.find_spec("pytest") is not None
        if has_pytest:
            commands["pytest"] = pytest
            commands["pytest without"] = (*pytest, "-p", "no:gilx")
        arms: dict[str, Callable[[], float]] = {
            name: partial(_run, words, folder) for name, words in commands.items()
        }
        seconds = samples_of(islice(interleaved(arms), blocks))
    above = partial(difference, unit="ms", scale=1e3)
    nothing = seconds["nothing"]
    figures = [
        above(name, seconds[name], nothing)
        for name in ("import gilx", "gilx --version", "import numpy")
    ]
    plugin = "the idle pytest plugin"
    missing = {}
    if has_pytest:
        without = seconds["pytest without"]
        figures.append(above(plugin, seconds["pytest"], without))
        figures.append(above("pytest without it", without, nothing))
    else:
        missing[plugin] = "pytest is not installed"
    samples = {name: tuple(times) for name, times in seconds.items()}
    return Measured(tuple(figures), missing, samples)


def _other_plugins() -> list[str]:
    """Return options that keep all other plugins out, which would only add noise."""
    names = {entry.name for entry in entry_points(group="pytest11")} - {"gilx"}
    return [word for name in ["cacheprovider", *names] for word in ("-p", f"no:{name}")]


def _run(words: tuple[str, ...], folder: str) -> float:
    """Return the seconds that a Python takes to do something and to end."""
    begin = perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    return perf_counter() - begin


if __name__ == "__main__":
    run_script(__doc__, measure, blocks=FULL)
