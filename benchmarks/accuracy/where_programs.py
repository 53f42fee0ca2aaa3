"""Programs whose holds of the GIL are known by function, which `where.py` watches.

The programs of the cases `shares` and `slowdown` can be run by themselves, so that py-spy
can watch them. They print their true figures as JSON::

    python benchmarks/accuracy/where_programs.py (--seconds S | --rounds N)
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import threading
import time
import zlib
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from gilx.ckernels import SpinResult, spin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MS = 1_000_000  # nanoseconds

# ---- shares ----------------------------------------------------------------------------

OBJECTS = np.arange(60_000).astype(object)
WORDS = [f"{number * 7919 % 4001:x}" for number in range(6_000)]
SOURCE = "\n".join(f"def f{n}(x):\n    return x.a[{n}] + {n} * x.b" for n in range(120))
NUMBERS = 20_000  # that the loop goes through


def add_objects() -> None:
    """Hold the GIL in a call of a C extension."""
    np.add.reduce(OBJECTS)


def letters(word: str) -> str:
    """Return the key by which words are sorted."""
    return word[::-1]


def sort_words() -> None:
    """Hold the GIL in C that calls Python back. The list is freed in here."""
    ordered = sorted(WORDS, key=letters)
    del ordered


def parse_source() -> None:
    """Hold the GIL in a parser. The tree is freed in here."""
    tree = ast.parse(SOURCE)
    del tree


def loop() -> None:
    """Hold the GIL in a loop of Python code."""
    total = 0
    for number in range(NUMBERS):
        total += number * number % 7


@dataclass(frozen=True)
class Part:
    """A function of the program."""

    run: Callable[[], None]
    share: float
    """Share of the time for which all parts hold the GIL."""
    functions: tuple[str, ...]
    """Names of the functions in which it holds the GIL."""

    @property
    def name(self) -> str:
        """Name of the function that the program calls."""
        return self.run.__name__


PARTS = (
    Part(add_objects, 0.1, ("add_objects",)),
    Part(sort_words, 0.2, ("sort_words", "letters")),
    Part(parse_source, 0.3, ("parse_source", "parse")),
    Part(loop, 0.4, ("loop",)),
)


@contextmanager
def released_work(seconds: float) -> Iterator[None]:
    """Have another thread that works without the GIL, and never wants it.

    A thread that gives the GIL to another one waits until that has returned it. Such
    waits would be counted as held here. No garbage is collected meanwhile, since that
    is a place of its own.
    """
    gc.disable()
    length = round(seconds * 1e9)
    other = threading.Thread(target=spin, args=(0, length, length))
    other.start()
    try:
        yield
    finally:
        other.join()
        gc.enable()


def run_rounds(rounds: int) -> float:
    """Run the parts `rounds` times, all equally long, and return the seconds."""
    start = time.perf_counter()
    for _ in range(rounds):
        for _ in range(2):
            add_objects()
            sort_words()
            loop()
        parse_source()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Truth:
    """True times of the parts of a program, in seconds."""

    wall: float
    """Seconds from the start to the end."""
    held: dict[str, float]
    """Seconds for which each part held the GIL."""


def run_parts(seconds: float) -> Truth:
    """Run the parts in turns, each for its share of the held time, and release between.

    The part that is furthest behind its share is next, so that the shares come out right
    however long a call takes.
    """
    held = dict.fromkeys(PARTS, 0)
    done = 0
    start = now = time.perf_counter_ns()
    while now - start < seconds * 1e9:
        total = sum(held.values())
        part = min(PARTS, key=lambda one: held[one] - one.share * total)
        begin = time.perf_counter_ns()
        part.run()
        held[part] += time.perf_counter_ns() - begin
        done += 1
        if done % 4 == 0:
            time.sleep(0.0003)
            spin(0, MS, MS)
        now = time.perf_counter_ns()
    return Truth((now - start) / 1e9, {part.name: ns / 1e9 for part, ns in held.items()})


# ---- calls -----------------------------------------------------------------------------

HOLD = 100 * MS
# A length of 0 makes a call that returns at once. Lines and texts below are those that a
# watch must find.


def two_on_a_line(one: int, other: int) -> None:
    """Hold the GIL in one of two calls on a line."""
    _ = spin(HOLD, 0, one), spin(HOLD, 0, other)


class Method:
    """A call in a method."""

    def hold(self, one: int, other: int) -> None:
        """Hold the GIL in one of two calls, on lines of their own."""
        spin(
            HOLD,
            0,
            one,
        )
        spin(HOLD, 0, other)


def nested(one: int, other: int) -> None:
    """Hold the GIL in one of two functions with the same name."""

    def inner(length: int) -> SpinResult:
        return spin(HOLD, 0, length)

    first = inner

    def inner(length: int) -> SpinResult:  # type: ignore[no-redef]
        return spin(HOLD, 0, length)

    first(one)
    inner(other)


def generator(one: int, other: int) -> None:
    """Hold the GIL in one of two generators."""
    for _ in (spin(HOLD, 0, length) for length in (one,)):
        pass
    for _ in (spin(HOLD, 0, other + 0 * length) for length in (0,)):
        pass


@dataclass(frozen=True)
class Call:
    """A call during which nothing else holds the GIL."""

    run: Callable[[], None]
    function: str
    """Qualified name of the function that makes the call."""
    line: int
    text: str
    """Text of the call; of one on several lines, its first line."""


def calls() -> list[Call]:
    """Return the calls, two of each function."""
    found = []
    for run, name, lines, texts in (
        (two_on_a_line, "", (2, 2), ("spin(HOLD, 0, one)", "spin(HOLD, 0, other)")),
        (Method().hold, "", (2, 7), ("spin(", "spin(HOLD, 0, other)")),
        (nested, ".<locals>.inner", (4, 9), ("spin(HOLD, 0, length)",) * 2),
        (
            generator,
            ".<locals>.<genexpr>",
            (2, 4),
            ("spin(HOLD, 0, length)", "spin(HOLD, 0, other + 0 * length)"),
        ),
    ):
        first = run.__code__.co_firstlineno
        lengths = ((HOLD, 0), (0, HOLD))
        for line, text, given in zip(lines, texts, lengths, strict=True):
            function = run.__qualname__ + name
            found.append(Call(partial(run, *given), function, first + line, text))
    return found


# ---- Python code at full speed ---------------------------------------------------------

# Four functions deep, on either side the same code, so that frames of one side take the
# place of those of the other. `never` is false.
_PING_PONG = """
def {side}_4(never):
    if never:
        return {side}_never(never)
    return 4

def {side}_3(never):
    if never:
        return {side}_never(never)
    return {side}_4(never)

def {side}_2(never):
    if never:
        return {side}_never(never)
    return {side}_3(never)

def {side}_1(never):
    if never:
        return {side}_never(never)
    return {side}_2(never)

def {side}_never(never):
    return {side}_never(not never)
"""
_GENERATORS = """
def {side}_items(never):
    for number in range(4):
        if never:
            yield {side}_never(never)
        yield number

def {side}_1(never):
    for number in {side}_items(never):
        if never:
            {side}_never(never)

def {side}_never(never):
    return {side}_never(not never)
"""
_COPIES = """
def {side}_list(items, never):
    if never:
        return {side}_never(never)
    return [{side}_copy(item, never) for item in items]

def {side}_dict(items, never):
    if never:
        return {side}_never(never)
    return dict((key, {side}_copy(item, never)) for key, item in items.items())

def {side}_copy(item, never):
    if never:
        return {side}_never(never)
    if item.__class__ is list:
        return {side}_list(item, never)
    if item.__class__ is dict:
        return {side}_dict(item, never)
    return item

NESTED = {{"a": [1, 2, {{"b": [3]}}], "c": [4]}}

def {side}_1(never):
    {side}_copy(NESTED, never)

def {side}_never(never):
    return {side}_never(not never)
"""
_TURN = """
def {side}_turn(never, clock, length):
    begin = now = clock()
    while now - begin < length:
        for _ in range(50):
            {side}_1(never)
        now = clock()
    return now - begin
"""
CODES = {"calls": _PING_PONG, "generators": _GENERATORS, "copies": _COPIES}


def file_of(code: str) -> str:
    """Return the name of the file that the code of a program is said to be in."""
    return f"<{code}>"


def sides(code: str) -> dict[str, Any]:
    """Return the functions of both sides, and of a third one that never runs."""
    names: dict[str, Any] = {"__name__": code}
    for side in ("left", "right", "other"):
        source = (CODES[code] + _TURN).format(side=side)
        exec(compile(source, file_of(code), "exec"), names)
    return names


def deep(depth: int, run: Callable[[], None]) -> None:
    """Run something so many calls deep."""
    if depth > 0:
        deep(depth - 1, run)
    else:
        run()


def alternate(code: str, seconds: float) -> None:
    """Run both sides in turns, call by call."""
    names = sides(code)
    left, right = names["left_1"], names["right_1"]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for _ in range(200):
            left(False)
            right(False)


def leave_frames(code: str) -> None:
    """Leave frames of the third side in the memory that later calls use."""
    other = sides(code)["other_1"]

    def run() -> None:
        for _ in range(10):
            other(False)

    for depth in range(0, 60, 3):
        deep(depth, run)


def phases(code: str, seconds: float) -> tuple[float, float]:
    """Run either side for a millisecond at a time; return for how long each ran.

    The left one has twice as many turns, and runs 40 calls deeper.
    """
    names = sides(code)
    spent = {"left": 0, "right": 0}

    def turn(side: str) -> None:
        spent[side] += names[f"{side}_turn"](False, time.perf_counter_ns, MS)

    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        deep(40, lambda: turn("left"))
        deep(40, lambda: turn("left"))
        turn("right")
    return spent["left"], spent["right"]


# ---- short units -----------------------------------------------------------------------


MANY = 10_000
DATA = bytes(range(256)) * 256


class Spins:
    """Units of one length: one function holds the GIL, the next one releases it."""

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.units = 0
        """Number of times that each function was called."""
        self.held = 0
        """Nanoseconds in the function that holds."""
        self.called = 0
        """Nanoseconds in the function that releases."""
        self.released = 0, 0
        """Bounds of the nanoseconds in it without the GIL."""

    def hold(self) -> None:
        """Hold the GIL."""
        spin(self.unit, 0, self.unit)

    def release(self) -> tuple[int, int]:
        """Release the GIL; return bounds of the nanoseconds."""
        found = spin(0, self.unit, self.unit)
        return found.wall_ns - found.held_max_ns, found.wall_ns - found.held_min_ns

    def run(self, seconds: float) -> None:
        """Hold and release in turns."""
        least = most = 0
        now = time.perf_counter_ns()
        end = now + round(seconds * 1e9)
        while now < end:
            self.hold()
            middle = time.perf_counter_ns()
            self.held += middle - now
            low, high = self.release()
            now = time.perf_counter_ns()
            self.called += now - middle
            least, most = least + low, most + high
            self.units += 1
        self.released = least, most

    @property
    def weight(self) -> tuple[float, float]:
        """Bounds of the share that `release` has of what is held."""
        least, most = self.released
        low, high = self.called - most, self.called - least
        return low / (self.held + low), high / (self.held + high)


class Checksums(Spins):
    """Spins in which a library's function releases the GIL, for about as long."""

    def release(self) -> tuple[int, int]:
        """Release the GIL."""
        zlib.crc32(DATA)
        return 0, 0

    @property
    def weight(self) -> tuple[float, float]:
        """The share if the library holds the GIL for as long as it needs for no data."""
        start = time.perf_counter_ns()
        for _ in range(MANY):
            zlib.crc32(b"")
        call = (time.perf_counter_ns() - start) / MANY
        share = call / (call + self.held / self.units)
        return share, share


ALTERNATIONS = {"spin": Spins, "zlib.crc32": Checksums}

# ---- the longest hold ------------------------------------------------------------------


class Holds:
    """Holds of one length, and how long the longest of them was."""

    def __init__(self, length: float) -> None:
        self.length = round(length * 1e9)
        self.longest = 0.0
        """Seconds."""

    def hold(self) -> None:
        """Hold the GIL once."""
        start = time.perf_counter()
        spin(self.length, 0, self.length)
        self.longest = max(self.longest, time.perf_counter() - start)

    def hold_often(self, seconds: float) -> None:
        """Hold the GIL several times, and release it between."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self.hold()
            time.sleep(self.length / 5e9)


@contextmanager
def waiter() -> Iterator[None]:
    """Have a thread that wants the GIL every millisecond."""
    end = threading.Event()

    def wait() -> None:
        while not end.is_set():
            time.sleep(0.001)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def main() -> None:
    """Run the parts, and print what they did."""
    parser = argparse.ArgumentParser(description="Run the parts of the case shares.")
    parser.add_argument("--seconds", type=float, help="in shares, beside a thread")
    parser.add_argument("--rounds", type=int, default=1, help="alone, that often")
    options = parser.parse_args()
    if options.seconds:
        with released_work(options.seconds):
            print(json.dumps(asdict(run_parts(options.seconds))))
    else:
        run_rounds(1)
        print(json.dumps(run_rounds(options.rounds)))


if __name__ == "__main__":
    main()
