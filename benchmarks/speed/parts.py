"""The parts of the suite: what each compares, and why that is fair."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilx import kernels
from gilx.errors import ArgumentError, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from figures import Measured

__all__ = ["PARTS", "Part", "chosen_pieces", "measure"]


@dataclass(frozen=True)
class Part:
    """One kind of comparison. A piece of it is measured in a process of its own."""

    module: str
    """Its script, whose ``measure(subject, FULL)`` or ``measure(subject, QUICK)``
    measures a piece."""
    title: str
    what: str
    """Name of the comparison."""
    fair: str
    """Why that is fair."""
    subjects: tuple[str, ...]
    """Subjects that each have a piece of the suite."""
    peers_ahead: Literal["below 1", "above 1", ""] = ""
    """Ratios of gilx to a peer for which the peer is ahead; empty if there are none."""


_EACH = kernels.names()
PARTS = {
    "kernels": Part(
        "kernels",
        "Kernels against peers",
        "The speed of each C and Cython kernel, on one thread, over that of numba's"
        " version, of straightforward C at `gcc -O3 -march=native`, of the library that"
        " a user would pick and, where memory binds, of a copy loop that moves as many"
        " bytes.",
        "All compute the same problem, in the same process, in blocks of random order;"
        " ratios are taken within a block. A peer's result is checked once before it is"
        " timed, where it is the same result. numba's version is the loop of the Cython"
        " kernel, compiled with `njit(nogil=True)` beforehand and without the polls that"
        " make gilx's kernels stop on Ctrl-C. Straightforward C may use all instructions"
        " of this machine, and fuse multiplications and additions, which gilx's kernels"
        " may not: their results are the same bits everywhere. The Cython kernels are"
        " compiled for the baseline, as in any wheel. Libraries with threads of their own"
        " are set to use one.",
        _EACH,
        peers_ahead="below 1",
    ),
    "growth": Part(
        "growth",
        "Large problems",
        "The time of `c-nogil` for a unit of work on a problem of 100 times the default's"
        " work (the largest that fits, where that does not fit into memory), over that at"
        " the default size; on one thread.",
        "The large problem is computed as a whole, in the same blocks as the default one."
        " All memory is touched before anything is timed.",
        _EACH,
    ),
    "scaling": Part(
        "scaling",
        "Threads against the ceiling",
        "The speedup of `c-nogil` on two of Python's threads, over that of gilx's native"
        " team, whose threads never touch Python, on the same kernel: the share of what"
        " the machine allowed that is left after Python's threads and their hand-over.",
        "`gilx.measure` takes the serial run, the threads and the team in the same"
        " blocks, in random order; it stops when the interval is narrow enough, by an"
        " interval that is right whenever one stops.",
        _EACH,
    ),
    "startup": Part(
        "startup",
        "Start-up",
        "What `import gilx` takes above an empty interpreter, and what pytest takes with"
        " gilx's plugin installed but unused above what it takes without.",
        "Whole processes are timed, in blocks of random order, and subtracted within each"
        " block; their files are in the system's cache. pytest loads no other plugin.",
        ("",),
    ),
    "region": Part(
        "region",
        "Handing over work",
        "An empty region of two workers in every pool, in gilx's team and in what else"
        " there is, over two tasks of `concurrent.futures.ThreadPoolExecutor`; and, in C,"
        " the team over OpenMP.",
        "All are timed in one process, in blocks of random order; a sample is the median"
        " of many regions in a row. Teams that spin are asleep before another is timed.",
        ("",),
        peers_ahead="above 1",
    ),
}


def chosen_pieces(words: Iterable[str] | None) -> list[tuple[str, str]]:
    """Return parts and subjects by what a user chose.

    Parameters
    ----------
    words : iterable of str, optional
        Each a part, as ``kernels``, or one of its pieces, as ``kernels:triad``; by
        default all parts.

    Returns
    -------
    list of tuples
        Each once, in the order of the suite.

    Raises
    ------
    ArgumentError
        There is no such part or piece; the message lists those there are.

    """
    everything = [(name, subject) for name, p in PARTS.items() for subject in p.subjects]
    if words is None:
        return everything
    chosen = set()
    for word in words:
        name, colon, subject = word.partition(":")
        part = PARTS[one_of("--only", name, PARTS)]
        if not colon:
            chosen |= {(name, each) for each in part.subjects}
        elif part.subjects == ("",):
            raise ArgumentError(
                f"--only: expected {name}, which is one piece; got {word}"
            )
        else:
            chosen.add((name, one_of(f"--only {name}:", subject, part.subjects)))
    return [piece for piece in everything if piece in chosen]


def measure(part: str, subject: str, *, quick: bool) -> Measured:
    """Measure a piece, here and now."""
    script = importlib.import_module(PARTS[part].module)
    measured: Measured = script.measure(subject, script.QUICK if quick else script.FULL)
    return measured
