"""The watch against work whose hold of the GIL is known, on this machine, now."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gilx.ckernels import spin
from gilx.errors import number_between
from gilx.gilwatch.watch import COST, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.gilwatch.usage import GilUsage

__all__ = ["Check", "SelfTest", "selftest"]

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


@dataclass(frozen=True)
class Check:
    """One rhythm: what is true, as a band, and what the watch said."""

    name: str
    truth: tuple[float, float]
    usage: GilUsage

    @property
    def error(self) -> float:
        """How far outside the band the watch was; 0 inside."""
        low, high = self.truth
        held = self.usage.held
        return held - high if held > high else min(0.0, held - low)

    @property
    def covered(self) -> bool:
        """Whether the stated interval meets the band."""
        low, high = self.usage.held_interval
        return low <= self.truth[1] and self.truth[0] <= high

    @property
    def right(self) -> bool:
        """Whether the error is one that looks at random can make."""
        middle = sum(self.truth) / 2
        chance = math.sqrt(middle * (1 - middle) / max(1, self.usage.looks))
        return abs(self.error) <= max(_LEAST_ERROR, _FAR * chance)


@dataclass(frozen=True)
class SelfTest:
    """All checks, and why the watch can't be trusted here, if it can't."""

    checks: tuple[Check, ...]
    trouble: str

    @property
    def trusted(self) -> bool:
        """Whether the watch can be trusted here and now."""
        return not self.trouble


def selftest(
    seconds: float = 1.0,
    *,
    cost: float = COST,
    show: Callable[[str], None] | None = None,
) -> SelfTest:
    """Check the watch on this machine.

    Parameters
    ----------
    seconds : float
        How long each of a dozen rhythms goes on, 0.1 to 60.
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5.
    show : callable, optional
        Called with the name of each rhythm before it begins.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    WatchUnavailableError
        The GIL can't be watched here.

    """
    number_between("seconds", seconds, 0.1, 60)
    checks = []
    for name, run in _rhythms(int(seconds * 1e9)):
        if show is not None:
            show(name)
        with watch(cost=cost) as watching:
            truth = run()
        checks.append(Check(name, truth, watching.usage))
    return SelfTest(tuple(checks), _trouble(checks))


def _rhythms(total: int) -> list[tuple[str, Callable[[], tuple[float, float]]]]:
    def spinning(hold: int, release: int, released: str) -> tuple[float, float]:
        done = spin(
            hold, release, total, released="sleep" if released == "sleep" else "spin"
        )
        return done.held_min_ns / done.wall_ns, done.held_max_ns / done.wall_ns

    def sleeping() -> tuple[float, float]:
        time.sleep(total / 1e9)
        return 0.0, 0.0

    rhythms: list[tuple[str, Callable[[], tuple[float, float]]]] = [
        ("never held", sleeping),
        ("always held", partial(spinning, 1, 0, "spin")),
    ]
    for held, period, released in _RHYTHMS:
        hold = round(held * period)
        rhythms.append(
            (
                f"{held * 100:.0f} % of {period / 1e6:g} ms, then {released}s",
                partial(spinning, hold, period - hold, released),
            )
        )
    return rhythms


def _trouble(checks: list[Check]) -> str:
    wrong = [check.name for check in checks if not check.right]
    doubtful = [check for check in checks if check.usage.doubt]
    misses = sum(not check.covered for check in checks)
    if doubtful:
        return f"{doubtful[0].name}: {doubtful[0].usage.doubt}"
    if wrong:
        return f"it is wrong about: {', '.join(wrong)}"
    if misses > _MOST_MISSES:
        return f"{misses} of {len(checks)} intervals at 95 % miss the truth"
    return ""
