"""Chapter 5: libraries that let the GIL go."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort
from gilx.demo.problem_sizes import size_lasting
from gilx.errors import WatchUnavailableError
from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.rendering.bar_chart import Bar, BarChart
from gilx.rendering.html_page import Table
from gilx.sampling.probe import probe
from gilx.sampling.watch import backend
from gilx.speedup.timings import in_a_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.sampling.usage import GilUsage

_SECONDS = 0.002  # that np.sin of a column, or a product of matrices, takes
_LITTLE = 0.1  # hold fraction of a call that releases the GIL,
_MARGIN = 0.1  # which may be so much larger
_PRECISE = 0.3  # width of an interval that tells something of a share between
_OWN_THREADS = 1.3  # CPU time over wall time that one thread can't come to
_PINS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def pin_blas() -> bool:
    """Have BLAS, if it is not loaded yet, use one thread; return whether it will.

    Libraries read these variables once, when they are loaded. Variables that are set
    already stay as they are.
    """
    if "numpy" not in sys.modules:
        for name in _PINS:
            os.environ.setdefault(name, "1")
    return all(os.environ.get(name) == "1" for name in _PINS)


@contextmanager
def _one_thread_each() -> Iterator[str]:
    """Keep BLAS to one thread; yield how that was done, in words."""
    try:
        limits = importlib.import_module("threadpoolctl").threadpool_limits
    except ImportError:
        yield (
            "kept to one thread by the environment"
            if pin_blas()
            else "not kept to one thread: install threadpoolctl"
        )
        return
    with limits(1):
        yield "kept to one thread by threadpoolctl"


def _rows() -> int:
    """Return how many rows the data has, so that calls last for some time."""
    import numpy as np  # noqa: PLC0415 - slow to load, and only used here

    return size_lasting(lambda n: in_a_row(partial(np.sin, np.ones(n)), 1), _SECONDS)


def _numpy_calls(rows: int) -> dict[str, Callable[[], object]]:
    import numpy as np  # noqa: PLC0415 - as above

    def product(size: int) -> float:
        square = np.ones((size, size))
        return in_a_row(lambda: square @ square, 1)

    rng = np.random.default_rng(0)
    numbers = rng.random(rows)
    size = size_lasting(product, _SECONDS)
    matrix = rng.random((size, size))
    objects = numbers[: rows // 10].astype(object)
    return {
        "sort": lambda: np.sort(numbers),
        "sin": lambda: np.sin(numbers),
        "matrix @ matrix": lambda: matrix @ matrix,
        "sum of Python objects": objects.sum,
        "tolist": numbers.tolist,
    }


def _pandas_calls(rows: int) -> dict[str, Callable[[], object]]:
    """Return calls of pandas.

    Raises
    ------
    ImportError
        It is not installed.

    """
    pandas: Any = importlib.import_module("pandas")
    import numpy as np  # noqa: PLC0415 - as above

    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {"key": rng.integers(0, 1000, rows), "value": rng.random(rows)}
    )
    words = pandas.Series([f"word {n}" for n in range(rows // 10)])
    few = frame["value"][: rows // 20]
    groups = frame.groupby("key")["value"]
    rolling = frame["value"].rolling(50)
    return {
        "groupby.sum": groups.sum,
        "rolling.mean": rolling.mean,
        "sort_values": lambda: frame.sort_values("value"),
        "str.upper": words.str.upper,
        "apply(a function)": lambda: few.apply(_half),
    }


def _half(value: float) -> float:
    return value / 2


@dataclass(frozen=True)
class Held:
    """Share of a call that holds the GIL; from `gilx.probe`."""

    library: str
    name: str
    seconds: float
    """Of one call."""
    held: Estimate
    """Hold fraction; unknown where nothing could be concluded."""
    cpus: float
    """CPU time over wall time: above 1, the call had threads of its own."""
    inconclusive_reason: str

    @classmethod
    def of(cls, usage: GilUsage, library: str, name: str) -> Self:
        """Return the figures that the demo keeps of a probe."""
        return cls(
            library=library,
            name=name,
            seconds=usage.wall / usage.repeats,
            held=Estimate.unknown() if usage.inconclusive_reason else usage.held,
            cpus=usage.cpu / usage.wall,
            inconclusive_reason=usage.inconclusive_reason,
        )

    @property
    def outcome(self) -> str:
        """``releases it``, ``holds it``, ``in part``, or ``unclear``."""
        if not self.held.known:
            return "unclear"
        held, free = self.held, self.held.complement()
        if held.value <= _LITTLE and held.high <= _LITTLE + _MARGIN:
            return "releases it"
        if free.value <= _LITTLE and free.high <= _LITTLE + _MARGIN:
            return "holds it"
        both = held.low > _LITTLE and free.low > _LITTLE
        return "in part" if both and held.high - held.low < _PRECISE else "unclear"


@dataclass(frozen=True)
class Libraries(Chapter):
    """Shares of some calls of NumPy and pandas that hold the GIL."""

    title: ClassVar[str] = "Libraries that release the GIL: NumPy and pandas"
    depends: ClassVar[str] = (
        "the call, the type and the size. Work on arrays of numbers can release the GIL,"
        " work on Python objects never does, and work on small arrays is too short"
        " for a release to pay. `gilx probe` measures your own calls."
    )

    calls: tuple[Held, ...]
    blas: str
    """Way in which BLAS, which has threads of its own, was kept from using them."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Probe the calls."""
        missing: list[str] = []
        calls: list[Held] = []
        with _one_thread_each() as blas:
            rows = _rows()
            found = {"NumPy": _numpy_calls(rows)}
            try:
                found["pandas"] = _pandas_calls(rows)
            except ImportError:
                missing.append("pandas is not installed: pip install pandas.")
            try:
                backend()  # raises if there is no GIL to watch
                for library, those in found.items():
                    for name, call in those.items():
                        effort.progress(f"{library} {name}")
                        usage = probe(call, precision=0.05, budget=effort.seconds(1))
                        calls.append(Held.of(usage, library, name))
            except WatchUnavailableError as error:
                why = str(error) if gil_enabled() else "this Python runs without a GIL"
                missing.insert(0, f"There is nothing to watch: {why}.")
        return cls(missing=tuple(missing), calls=tuple(calls), blas=blas)

    def tables(self) -> list[Table]:
        """Return the shares."""
        rows = [
            (
                call.library,
                call.name,
                duration(call.seconds),
                percent(call.held.value),
                f"{100 * call.held.low:.0f} to {100 * call.held.high:.0f} %"
                if call.held.known
                else "-",
                call.outcome,
            )
            for call in self.calls
        ]
        head = ("", "call", "time", "GIL held", "95 %", "")
        return [Table(head, rows, right=(2, 3, 4))] if rows else []

    def sentences(self) -> list[str]:
        """Say which calls release the GIL, which don't, and which are inconclusive."""
        said = []
        for outcome, words in (
            ("releases it", "Threads run side by side in calls of"),
            ("in part", "Threads run side by side for a part of the time in calls of"),
            ("holds it", "Threads take turns in calls of"),
            ("unclear", "The watch is inconclusive for"),
        ):
            names = [f"{c.library} {c.name}" for c in self.calls if c.outcome == outcome]
            if names:
                said.append(f"{words}: {', '.join(names)}.")
        own = [f"{c.library} {c.name}" for c in self.calls if c.cpus > _OWN_THREADS]
        if own:
            said.append(f"These calls used threads of their own: {', '.join(own)}.")
        if self.calls:
            said.append(f"BLAS, which computes @, was {self.blas}.")
        return said

    def picture(self) -> BarChart | None:
        """Return the shares."""
        bars = tuple(
            Bar(f"{call.library} {call.name}", call.held.times(100))
            for call in self.calls
        )
        return BarChart("GIL held, % of a call", bars) if bars else None
