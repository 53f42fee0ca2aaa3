"""Locks that threads waited for, as a watch of a Python without a GIL reports them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from gilx.errors import ArgumentError, at_least
from gilx.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

LockKind = Literal["object", "mutex", "event", "spinning", "unknown"]
KINDS: tuple[LockKind, ...] = ("object", "mutex", "event", "spinning", "unknown")
"""Kinds by their numbers in csrc/sampler/lock_table.h."""
_WORDS: dict[LockKind, str] = {
    "mutex": "a mutex of the interpreter or an extension module",
    "event": "an event",
    "spinning": "locks of objects, spinning",
    "unknown": "locks that are not known",
}


class FoundLock(NamedTuple):
    """A lock as `gilx.sampling._sampler.Sampler.free_threads` returns it."""

    kind: int
    address: int
    type: str
    time: float
    squares: float
    samples: int


@dataclass(frozen=True)
class LockWait:
    """Time for which threads waited for one lock, or for several of one kind."""

    kind: LockKind
    """``object``: the lock that protects an object, or an object that is a lock;
    ``mutex``: another one of CPython's; ``event``: for something to happen once, such as
    the end of a thread; ``spinning``: locks of objects, by threads that had not gone to
    sleep, of which it is not known which ones they are; ``unknown``: other locks."""
    type: str
    """Type of the object, as at the first wait; empty if there is none."""
    address: str
    """Address of the lock in hexadecimal; empty for several locks. An object that is made
    after another one has died may have the same one."""
    waiting: float
    """Thread-seconds for which threads waited for it: the part that the samples give it
    of the time that clocks show."""
    samples: int
    """Number of samples that found a thread waiting for it."""

    @property
    def name(self) -> str:
        """The lock in words."""
        if self.kind == "object":
            return f"a '{self.type}' at {self.address}"
        words = _WORDS[self.kind]
        return f"{words} at {self.address}" if self.address else words

    def _check(self, where: str) -> None:
        at_least(f"{where}.samples", self.samples, 0)
        if not 0 <= self.waiting < math.inf:
            raise ArgumentError(
                f"{where}.waiting: expected seconds from 0, got {self.waiting}"
            )


def lock_waits_of(found: Iterable[FoundLock], scale: float) -> tuple[LockWait, ...]:
    """Return the locks of a watch, the one with the longest waits first.

    `scale` is what makes the sampled time that of the clocks.
    """
    return _by_time(
        LockWait(
            kind=KINDS[one.kind],
            type=printable(one.type),
            address=f"{one.address:#x}" if one.address else "",
            waiting=scale * one.time / 1e9,
            samples=one.samples,
        )
        for one in found
    )


def locks_together(locks: Iterable[LockWait]) -> tuple[LockWait, ...]:
    """Return the locks of several watches."""
    found: dict[tuple[str, str, str], LockWait] = {}
    for one in locks:
        key = one.kind, one.type, one.address
        before = found.get(key)
        found[key] = (
            one
            if before is None
            else replace(
                one,
                waiting=before.waiting + one.waiting,
                samples=before.samples + one.samples,
            )
        )
    return _by_time(found.values())


def _by_time(locks: Iterable[LockWait]) -> tuple[LockWait, ...]:
    return tuple(sorted(locks, key=lambda one: (-one.waiting, one.kind, one.address)))
