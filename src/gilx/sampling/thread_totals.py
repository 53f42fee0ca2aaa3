"""Sums of a monitor's threads by their names, at constant memory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from gilx.sampling.thread_usage import ActivitySums

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    sums: Any
    """`FoundSums`, or those of `gilx.sampling.clocked_times` without a GIL."""


class _Sums(Protocol):
    def __add__(self, other: Any, /) -> Any: ...  # noqa: ANN401 - of the same kind

    def less(self, part: Any, /) -> Any: ...  # noqa: ANN401 - of the same kind

    @property
    def used(self) -> bool: ...


S = TypeVar("S", bound=_Sums)


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

    def less(self, part: NameSums) -> NameSums:
        """Return what is left of the sums; rounding makes none of them negative."""
        return replace(
            self,
            held=_rest(self.held, part.held),
            waited=_rest(self.waited, part.waited),
            known=max(0.0, self.known - part.known),
            squares=max(0.0, self.squares - part.squares),
        )


def common_name(name: str) -> str:
    """Return the name with ``*`` in place of the numbers that Python gives threads."""
    return _NUMBERED.sub(r"\1*", name, count=1)


class ThreadTotals(Generic[S]):
    """Sums of threads by name, followed from reading to reading.

    The sampler drops threads that have ended when there are many, and keeps one sum of
    all of them. What was not read of these before is the share of `ENDED`.

    Parameters
    ----------
    sums_of : callable
        Makes sums of those that the sampler has.
    nothing : object
        Sums of no thread.

    """

    def __init__(self, sums_of: Callable[[Any], S], nothing: S) -> None:
        self._sums_of = sums_of
        self._nothing = nothing
        self._listed: dict[int, tuple[str, S]] = {}  # by number
        self._dropped: dict[str, S] = {}  # sums when they were last read, by name
        self._all_dropped = nothing
        self._names: set[str] = set()

    def update(
        self,
        threads: Sequence[FoundThread],
        ended: Any,  # noqa: ANN401 - as those of the threads
        names: Mapping[int, str],
        ended_names: Mapping[int, str],
    ) -> dict[str, S]:
        """Add a reading; return the sums of all threads by name.

        Parameters
        ----------
        threads : sequence of FoundThread
            Threads that the sampler lists.
        ended : object
            Sums of the threads that it has dropped.
        names : mapping
            Names of the threads that there are now, by native id.
        ended_names : mapping
            Names of threads that have ended, as far as they are known.

        """
        listed: dict[int, tuple[str, S]] = {}
        for one in threads:
            sums = self._sums_of(one.sums)
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
                self._dropped[name] = self._dropped.get(name, self._nothing) + sums
                self._all_dropped += sums
        self._listed = listed
        return self._by_name(self._sums_of(ended))

    def _with_capacity(self, name: str) -> str:
        if name not in self._names and len(self._names) >= _MOST_NAMES:
            return OTHERS
        self._names.add(name)
        return name

    def _by_name(self, ended: S) -> dict[str, S]:
        found = dict(self._dropped)
        for name, sums in self._listed.values():
            found[name] = found.get(name, self._nothing) + sums
        rest = ended.less(self._all_dropped)
        if rest.used:
            found[ENDED] = found.get(ENDED, self._nothing) + rest
        return found


def _rest(one: ActivitySums, other: ActivitySums) -> ActivitySums:
    return ActivitySums(
        max(0.0, one.time - other.time),
        max(0.0, one.squares - other.squares),
        max(0.0, one.products - other.products),
        max(0.0, one.steps - other.steps),
    )
