"""The watch against work whose hold of the GIL is known, on this machine, now."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gilx.errors import number_between
from gilx.formatting import duration
from gilx.sampling.watch import COST, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.sampling.usage import GilUsage

# (held share, period in ns, what it does while it has let go)
_RHYTHMS = (
    *((held, 20_000, "spin") for held in (0.1, 0.5, 0.9)),
    *((held, 1_000_000, "spin") for held in (0.1, 0.5, 0.9)),
    *((held, 1_000_000, "sleep") for held in (0.1, 0.5)),
    *((held, 20_000_000, "sleep") for held in (0.1, 0.5)),
)
# So many standard errors off by chance: once in some 4000 checks.
_FAR = 3.5
_LEAST_ERROR = 0.005
# Of a dozen 95 % intervals, more than so many miss by chance once in some 400 tests.
_MOST_MISSES = 3


class KnownHold(NamedTuple):
    """Truth about a rhythm, in seconds: held at least and at most, and the whole time."""

    least: float
    most: float
    wall: float


@dataclass(frozen=True)
class Check:
    """One rhythm: what is true, and what the watch said."""

    name: str
    known: KnownHold
    usage: GilUsage

    @property
    def truth(self) -> tuple[float, float]:
        """The band in which the true share is.

        Python holds the GIL on the way into the rhythm and out of it, watched already.
        """
        wall = self.usage.wall
        around = max(0.0, wall - self.known.wall)
        return self.known.least / wall, min(1.0, (self.known.most + around) / wall)

    @property
    def error(self) -> float:
        """Distance of the watch's figure from the band; 0 inside."""
        low, high = self.truth
        held = self.usage.held.value
        return held - high if held > high else min(0.0, held - low)

    @property
    def covered(self) -> bool:
        """True if the stated interval meets the band."""
        low, high = self.usage.held.interval
        return low <= self.truth[1] and self.truth[0] <= high

    @property
    def right(self) -> bool:
        """True if the interval meets the band, or looks at random can err as much.

        On busy CPUs the interval is wider than looks at random make it.
        """
        if self.covered:
            return True
        samples = self.usage.samples
        # One sample more each way, as in Agresti and Coull's interval: where a share is
        # close to 0 or 1, a single one of few samples is far off.
        middle = (sum(self.truth) / 2 * samples + 1) / (samples + 2)
        chance = math.sqrt(middle * (1 - middle) / max(1, samples))
        return abs(self.error) <= max(_LEAST_ERROR, _FAR * chance)


@dataclass(frozen=True)
class SelfTest:
    """The last check of each rhythm, and why the watch can't be trusted, if it can't.

    ``wrong`` says where it was wrong, ``undecided`` for which rhythm samples were late.
    ``repeated`` counts the rhythms that were watched twice.
    """

    checks: tuple[Check, ...]
    wrong: str
    undecided: str
    repeated: int = 0

    @property
    def trouble(self) -> str:
        """Reasons not to trust the watch; empty if there are none."""
        return self.wrong or self.undecided

    @property
    def trusted(self) -> bool:
        """True if the watch can be trusted here and now."""
        return not self.trouble


def selftest(
    seconds: float = 1.0,
    *,
    cost: float = COST,
    progress: Callable[[str], None] | None = None,
) -> SelfTest:
    """Check the watch on this machine.

    If it seems wrong, the rhythms that it missed are watched once more, and the second
    checks count: an error of the watch appears again, a burst of other work does not.

    Parameters
    ----------
    seconds : float
        How long each of a dozen rhythms goes on, 0.1 to 60.
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5.
    progress : callable, optional
        Called with the name of each rhythm before it begins.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    WatchUnavailableError
        The GIL can't be watched here.

    """
    seconds = number_between("seconds", seconds, 0.1, 60, unit="seconds")
    rhythms = _rhythms(int(seconds * 1e9))

    def check(name: str) -> Check:
        if progress is not None:
            progress(name)
        with Watch(cost) as watching:
            known = rhythms[name]()
        return Check(name, known, watching.usage)

    return confirmed([check(name) for name in rhythms], check)


def confirmed(checks: Sequence[Check], again: Callable[[str], Check]) -> SelfTest:
    """Return what follows from checks; those that missed count only if they do again.

    Parameters
    ----------
    checks : sequence of Check
        At least one, of rhythms with different names.
    again : callable
        Checks the rhythm of this name once more.

    """
    first = judged(checks)
    if not first.wrong:
        return first
    last = [again(check.name) if _missed(check) else check for check in checks]
    second, twice = judged(last), sum(map(_missed, last))
    if not second.wrong and twice > 1:
        words = f"{twice} of {len(last)} intervals at 95 % miss the truth twice"
        second = replace(second, wrong=words)
    return replace(second, repeated=sum(map(_missed, checks)))


def _rhythms(total: int) -> dict[str, Callable[[], KnownHold]]:
    from gilx.ckernels import spin  # noqa: PLC0415 - not in every installation

    def spinning(hold: int, release: int, released: str) -> KnownHold:
        done = spin(
            hold, release, total, released="sleep" if released == "sleep" else "spin"
        )
        return KnownHold(
            done.held_min_ns / 1e9, done.held_max_ns / 1e9, done.wall_ns / 1e9
        )

    def sleeping() -> KnownHold:
        start = time.perf_counter()
        time.sleep(total / 1e9)
        return KnownHold(0.0, 0.0, time.perf_counter() - start)

    rhythms: dict[str, Callable[[], KnownHold]] = {
        "never held": sleeping,
        "always held": partial(spinning, 1, 0, "spin"),
    }
    for held, period, released in _RHYTHMS:
        hold = round(held * period)
        name = f"{held * 100:.0f} % of {duration(period / 1e9)}, {released}s"
        rhythms[name] = partial(spinning, hold, period - hold, released)
    return rhythms


def judged(checks: Sequence[Check]) -> SelfTest:
    """Return what follows from these checks, at least one."""
    decided = [check for check in checks if not check.usage.inconclusive_reason]
    undecided = [
        f"{c.name}: {c.usage.inconclusive_reason}"
        for c in checks
        if c.usage.inconclusive_reason
    ]
    return SelfTest(tuple(checks), _wrong(decided), "".join(undecided[:1]))


def _missed(check: Check) -> bool:
    return not check.usage.inconclusive_reason and not check.covered


def _wrong(decided: list[Check]) -> str:
    wrong = [check.name for check in decided if not check.right]
    misses = sum(map(_missed, decided))
    if wrong:
        return f"it was wrong about {', '.join(wrong)}"
    if misses > _MOST_MISSES:
        return f"{misses} of {len(decided)} intervals at 95 % miss the truth"
    return ""
