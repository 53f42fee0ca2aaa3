"""What one watch saw of its own thread, or several watches together."""

from __future__ import annotations

from dataclasses import dataclass

from gilx.estimate import Estimate
from gilx.sampling.ratio_interval import Ratio, interval

__all__ = ["Seen", "hold_side"]

_ERROR = 0.01
_FEWEST_LOOKS = 10
_MOST_UNKNOWN = 0.2
_LEAST_LEFT = 0.02  # of the time, by the other threads


@dataclass(frozen=True)
class Seen:
    """Sums over the slices of watches. Those of several watches add up."""

    own: Ratio
    """x: held by the watched thread; y: not held by others."""
    counted: float
    """Length of all slices with a look, in nanoseconds."""
    unknown: float
    """Of that, where the look came too late."""
    looks: int
    late: int
    unidentified: float
    """Length for which the holder is not known: it may be the watched thread."""
    prompt: bool
    """Whether the sampler is let onto a busy CPU at once."""

    def __add__(self, other: Seen) -> Seen:
        return Seen(
            self.own + other.own,
            self.counted + other.counted,
            self.unknown + other.unknown,
            self.looks + other.looks,
            self.late + other.late,
            self.unidentified + other.unidentified,
            self.prompt and other.prompt,
        )

    @property
    def held(self) -> float:
        """The hold fraction; not a number where nothing is known."""
        return self.own.value

    @property
    def share_unknown(self) -> float:
        """Share of the time for which there is no good look."""
        return self.unknown / self.counted if self.counted > 0 else 1.0

    def interval(self) -> tuple[float, float]:
        """Return the interval of the hold fraction, at 95 %."""
        low, high = interval(self.own, self.share_unknown, prompt=self.prompt)
        return low, min(1.0, high + self._hidden)

    @property
    def _hidden(self) -> float:
        """How much larger the hold fraction is if it includes all unidentified holds."""
        if self.unidentified <= 0 or self.own.y <= 0:
            return 0.0
        most = (self.own.x + self.unidentified) / (self.own.y + self.unidentified)
        return most - self.own.value

    def bounds(self, level: float) -> tuple[float, float]:
        """Return bounds of the hold fraction, whatever was the case when looks were late.

        As wide as if it had been held, or free, for all of that time: nothing is taken to
        be likely there, so that no share of unknown time is too much for them.
        """
        low, high = interval(self.own, level=level)
        unknown = self.share_unknown
        return max(0.0, low - unknown), min(1.0, high + unknown + self._hidden)

    @property
    def too_little(self) -> str:
        """Why what was seen says nothing at all; empty if it says something."""
        if self.unidentified > _MOST_UNKNOWN * self.counted:
            return (
                "the thread that held the GIL could not be identified for"
                f" {self.unidentified / self.counted * 100:.0f} % of the time"
            )
        if not self._too_short and self.own.y < _LEAST_LEFT * self.counted:
            return "other threads held the GIL for nearly all of the time"
        return self._too_short

    @property
    def doubt(self) -> str:
        """Why nothing can be concluded; empty if something can."""
        return self.too_little or self._too_late

    @property
    def doubt_of_program(self) -> str:
        """Reason that nothing can be concluded of all threads together; empty if none."""
        return self._too_short or self._too_late

    @property
    def _too_short(self) -> str:
        good = self.looks - self.late
        if good >= _FEWEST_LOOKS:
            return ""
        return (
            f"too short: {good} good look{'s' if good != 1 else ''},"
            f" at least {_FEWEST_LOOKS} are needed"
        )

    @property
    def _too_late(self) -> str:
        if self.share_unknown <= _MOST_UNKNOWN:
            return ""
        return (
            "the sampler could not look in time for"
            f" {self.share_unknown * 100:.0f} % of the time, since the CPUs were busy"
        )


def hold_side(held: Estimate, limit: float) -> int:
    """Return 1 if a hold fraction is above a limit, -1 if below, 0 if that is open."""
    if not held.known:
        return 0
    error = 4 * _ERROR * limit * (1 - limit)
    return int(held.low > limit + error) - int(held.high < limit - error)
