"""Sums of a monitor's threads by their names, at constant memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from gilx.sampling.thread_usage import ActivitySums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ENDED = "ended threads"
"""Name of threads that ended before a reading found their name."""
UNNAMED = "unnamed threads"
"""Name of threads that Python's `threading` does not know."""
OTHERS = "other threads"
"""Name of threads whose names did not fit into the table."""
_MOST_NAMES = 100
_NUMBERED = re.compile(r"((?:Thread|Dummy|ThreadPoolExecutor)-)\d+(?:_\d+)?(?!\d)")

FoundSums = tuple[
    tuple[float, float, float, float], tuple[float, float, float, float], float, float
]


class FoundThread(NamedTuple):
    """A thread as `gilx.sampling._sampler.Sampler.read` returns it."""

    number: int
    native_id: int
    ended: bool
    sums: FoundSums


@dataclass(frozen=True)
class NameSums:
    """Sums over the samples of threads with one name: they add up."""

    held: ActivitySums = field(default_factory=ActivitySums)
    waited: ActivitySums = field(default_factory=ActivitySums)
    known: float = 0.0
    """Length of the slices of time for which it is known whether they waited,"""
    squares: float = 0.0
    """and the sum of the squares of these lengths."""

    @classmethod
    def of(cls, found: FoundSums) -> NameSums:
        """Return the sums as the sampler has them."""
        held, waited, known, squares = found
        return cls(ActivitySums(*held), ActivitySums(*waited), known, squares)

    def __add__(self, other: NameSums) -> NameSums:
        return NameSums(
            self.held + other.held,
            self.waited + other.waited,
            self.known + other.known,
            self.squares + other.squares,
        )

    @property
    def used(self) -> bool:
        """True if a thread held the GIL or waited for it."""
        return self.held.time > 0 or self.waited.time > 0


_NOTHING = NameSums()


def common_name(name: str) -> str:
    """Return the name with ``*`` in place of the numbers that Python gives threads."""
    return _NUMBERED.sub(r"\1*", name, count=1)


class ThreadTotals:
    """Sums of threads by name, followed from reading to reading.

    The sampler drops threads that have ended when there are many, and keeps one sum of
    all of them. What was not read of these before is the share of `ENDED`.
    """

    def __init__(self) -> None:
        self._listed: dict[int, tuple[str, NameSums]] = {}  # by number
        self._dropped: dict[str, NameSums] = {}  # sums when they were last read, by name
        self._all_dropped = _NOTHING
        self._names: set[str] = set()

    def update(
        self,
        threads: Sequence[FoundThread],
        ended: FoundSums,
        names: Mapping[int, str],
        ended_names: Mapping[int, str],
    ) -> dict[str, NameSums]:
        """Add a reading; return the sums of all threads by name.

        Parameters
        ----------
        threads : sequence of FoundThread
            Threads that the sampler lists.
        ended : FoundSums
            Sums of the threads that it has dropped.
        names : mapping
            Names of the threads that there are now, by native id.
        ended_names : mapping
            Names of threads that have ended, as far as they are known.

        """
        listed: dict[int, tuple[str, NameSums]] = {}
        for one in threads:
            sums = NameSums.of(one.sums)
            if one.number in self._listed:
                listed[one.number] = (self._listed[one.number][0], sums)
            elif sums.used:
                # It may have ended without the sampler's knowledge.
                here: Mapping[int, str] = {} if one.ended else names
                name = here.get(one.native_id) or ended_names.get(
                    one.native_id, ENDED if one.ended else UNNAMED
                )
                name = self._with_capacity(common_name(name))
                listed[one.number] = (name, sums)
        for number, (name, sums) in self._listed.items():
            if number not in listed:
                self._dropped[name] = self._dropped.get(name, _NOTHING) + sums
                self._all_dropped += sums
        self._listed = listed
        return self._by_name(NameSums.of(ended))

    def _with_capacity(self, name: str) -> str:
        if name not in self._names and len(self._names) >= _MOST_NAMES:
            return OTHERS
        self._names.add(name)
        return name

    def _by_name(self, ended: NameSums) -> dict[str, NameSums]:
        found = dict(self._dropped)
        for name, sums in self._listed.values():
            found[name] = found.get(name, _NOTHING) + sums
        rest = _difference(ended, self._all_dropped)
        if rest.used:
            found[ENDED] = found.get(ENDED, _NOTHING) + rest
        return found


def _difference(whole: NameSums, part: NameSums) -> NameSums:
    """Return what is left of sums; rounding makes none of them negative."""

    def rest(one: ActivitySums, other: ActivitySums) -> ActivitySums:
        return ActivitySums(
            max(0.0, one.time - other.time),
            max(0.0, one.squares - other.squares),
            max(0.0, one.products - other.products),
            max(0.0, one.steps - other.steps),
        )

    return replace(
        whole,
        held=rest(whole.held, part.held),
        waited=rest(whole.waited, part.waited),
        known=max(0.0, whole.known - part.known),
        squares=max(0.0, whole.squares - part.squares),
    )
