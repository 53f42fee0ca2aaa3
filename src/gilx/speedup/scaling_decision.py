"""Verdict on scaling: what blocks and the watch show, and when that is enough.

Each witness is misled by a busy machine in a way of its own. With one process beside two
threads that only take turns behind a lock, on two CPUs, the measured share of the ceiling
is 0.95 where 0.5 is right: little more than one CPU is free, and processes are
no faster either. With each worker's waits for a CPU taken out of that it is 0.6 to 0.8,
for while one waits for a CPU the other has the lock. Threads that wait for each other and
scale well, on the other hand, then look worse than they are. So:

* the ceiling fraction is believed for a pass only where the ceiling shows that threads
  that take turns would have missed, and if it clears the limit by half of what is between
  that and 1, and what calls just at the limit would reach under that ceiling; and for a
  failure only if the fraction without waits fails as well.
* the ceiling fraction without waits for a CPU speaks against a pass, and has to be likely
  to reach the limit (`without_waits`) for a pass by the measured one. Neither it nor the
  CPU overlap is believed of a block in which a hypervisor or a quota took CPUs away: the
  system knows of no wait then, and if that stops a thread that has a lock or the GIL, the
  others wait as if the call were to blame.
* the CPU overlap, how far the workers' CPU time overlapped while none waited for a CPU,
  is believed for a pass: threads that wait for each other have a low one, busy or not.
* the watch shows what the GIL alone makes impossible, busy or not; nothing passes without
  it, unless there is no GIL.
* samples of threads that call at once show how long workers wait for the GIL, for other
  locks, or until all threads have stopped, whatever the neighbours do. Nothing passes if
  workers certainly wait for longer than may be lost. If they certainly wait for less, and
  CPU time did not grow either (spinning locks and memory show only there and in the
  ratio), threads that take turns are ruled out without the clocks, so that weaker
  evidence of the ceiling fraction is enough, whatever the ceiling. Nor do clocks alone
  fail such calls on a busy machine. Waits that no sample distinguishes from work mislead
  this witness.

`benchmarks/accuracy/flake.py` measures how often the outcome is wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from gilx.formatting import duration, percent
from gilx.sampling.hold_fraction import hold_side
from gilx.speedup.statistics import FEWEST_VALUES

if TYPE_CHECKING:
    from gilx.estimate import Estimate
    from gilx.sampling.usage import GilUsage
    from gilx.speedup.comparison import RunningComparison
    from gilx.speedup.waits_together import WaitsTogether

Outcome = Literal["pass", "fail", "inconclusive"]

ALPHA = 1e-3
"""Probability, at most, that a witness is wrong by chance, however often it is asked."""

_ALPHA_IF_BUSY = 1e-4
"""The same for a failure by the clocks alone while workers wait for CPUs, since blocks
then depend on what other processes do, and several in a row are alike."""

EFFICIENCY = 0.8
"""The share of the ceiling that is asked for where nothing else is said."""

FEWEST_BLOCKS = FEWEST_VALUES
"""Fewer decide nothing."""

_WEAKLY = 0.05
"""Probability, at most, that the ceiling fraction is wrong by chance where the samples
and the CPU times have ruled out what would make threads slow."""

_CLEARLY = 0.9
_BUSY = 0.1  # of the workers' time, waiting for a CPU
_MUCH_LESS_CPU = 0.8
_MORE_CPU = 1.1


class HoldEvidence(Protocol):
    """Usage of the GIL by calls alone."""

    @property
    def held(self) -> Estimate:
        """Hold fraction."""

    @property
    def side(self) -> int:
        """1 if it is above the limit that rules scaling out, -1 if below, 0 if open."""

    @property
    def reason(self) -> str:
        """Why nothing can be concluded; empty if something can."""


@dataclass(frozen=True)
class HeldAlone:
    """Usage of the GIL by calls alone, as evidence about scaling."""

    usage: GilUsage
    limit: float
    """The hold fraction that rules scaling out."""

    @property
    def held(self) -> Estimate:
        """Hold fraction, with bounds that are wrong as rarely as a witness."""
        return self.usage.bounds(1 - ALPHA)

    @property
    def side(self) -> int:
        """1 if it is above the limit, -1 if below, 0 if open."""
        return 0 if self.reason else hold_side(self.held, self.limit)

    @property
    def reason(self) -> str:
        """Why nothing can be concluded; empty if something can."""
        return self.usage.sums.shortage


class ScalingDecision:
    """Verdict on a comparison as far as its blocks go.

    Parameters
    ----------
    comparison : RunningComparison
        The blocks so far; more may be added to it.
    efficiency : float
        The share of the ceiling that workers have to reach, above 0 and at most 1.
    release : HoldEvidence, optional
        What the watch saw, against the limit ``1 / (workers * efficiency)``; None if
        there is nothing to watch.
    waits : WaitsTogether, optional
        Waits of workers that call at once; None if they are not known.

    """

    def __init__(
        self,
        comparison: RunningComparison,
        efficiency: float,
        release: HoldEvidence | None,
        waits: WaitsTogether | None = None,
    ) -> None:
        self._blocks, self._efficiency = comparison, efficiency
        self._limit = math.log(efficiency)
        self._release, self._waits = release, waits

    @property
    def hindrance(self) -> int:
        """1 if samples rule a pass out, -1 if they rule out that workers take turns."""
        return 0 if self._waits is None else self._waits.hindrance(self._efficiency)

    @property
    def own_threads(self) -> bool:
        """True if the process used clearly more CPU time than the workers did."""
        return self._blocks.has_own_threads("parallel")

    @property
    def _ceiling(self) -> float | None:
        """Median speedup that the machine achieved; None without blocks."""
        log = self._blocks.ceiling.median
        return None if log is None else math.exp(log)

    @property
    def discerning(self) -> bool:
        """True if threads that take turns would have missed what is asked for."""
        return self._ceiling is not None and self._ceiling * self._efficiency >= 1

    @property
    def promising(self) -> bool:
        """True if more of such blocks may show enough.

        They may if the machine allows it, or if enough CPU time overlaps anyhow.
        """
        overlap = self._blocks.overlap
        overlapping = overlap.above(self._efficiency)
        enough = overlapping >= _CLEARLY * max(1, len(overlap))
        return self.discerning or enough or self.hindrance < 0

    @property
    def _missing(self) -> bool:
        """True if the clocks miss what is asked for.

        The ceiling fraction is not needed if samples rule a pass out: on a machine that
        gives one CPU, threads that take turns reach the ceiling.
        """
        blocks, limit = self._blocks, self._limit
        if blocks.ceiling_fraction_without_waits.side(limit, ALPHA) >= 0:
            return False
        alpha = _ALPHA_IF_BUSY if self._is_busy else ALPHA
        return self.hindrance > 0 or blocks.ceiling_fraction.side(limit, alpha) < 0

    def decision(self) -> Outcome | None:
        """Return the verdict; None as long as it is open."""
        fraction = self._blocks.ceiling_fraction.median
        if fraction is None or self.own_threads:
            return None
        if self._missing:
            return None if self._unlike() or self._disagreeing else "fail"
        held = self._release is not None and self._release.side >= 0
        if held or self.hindrance > 0:
            return None
        passes = self._passes_by_samples or self._passes_by_clocks(fraction)
        return "pass" if passes else None

    @property
    def _passes_by_samples(self) -> bool:
        """True if samples and CPU times rule out what would make threads slow.

        The ceiling fraction, which is the only one to show what both of them miss, has to
        agree.
        """
        fraction = self._blocks.ceiling_fraction
        return (
            self.hindrance < 0
            and self._keeps_cpu
            and fraction.side(self._limit, _WEAKLY) > 0
        )

    def _passes_by_clocks(self, fraction: float) -> bool:
        """Return whether the overlap or the ceiling fraction is enough for a pass."""
        blocks, limit = self._blocks, self._limit
        if blocks.ceiling_fraction_without_waits.side(limit, ALPHA) < 0:
            return False
        overlapping = blocks.overlap.side(self._efficiency, ALPHA) > 0
        if overlapping and fraction >= limit:
            return True
        hurdle = math.log(self._hurdle())
        clear = self.discerning and blocks.ceiling_fraction.side(hurdle, ALPHA) > 0
        return clear and self._likely()

    @property
    def _keeps_cpu(self) -> bool:
        """True if threads certainly need hardly more CPU time than is needed."""
        return self._blocks.cpu_kept.side(self._limit, ALPHA) > 0

    @property
    def _disagreeing(self) -> bool:
        """True if clocks miss on a busy machine what nothing else explains."""
        return self._is_busy and self.hindrance < 0 and self._keeps_cpu

    @property
    def _is_busy(self) -> bool:
        """True if workers are known to wait for CPUs."""
        waits = self._waits
        return waits is not None and waits.waiting_cpu > _BUSY * waits.workers

    def _likely(self) -> bool:
        """Return whether waits for a CPU leave it likely that the limit is reached."""
        share = self._blocks.likely_fraction.median
        return share is None or share >= self._efficiency

    def _unlike(self) -> str:
        """Return why the ceiling may be higher than it is for these calls."""
        inside = self._blocks.ceiling_cpu_ratio.median
        here = self._blocks.parallel_cpu_ratio.median
        if inside is not None and inside < _MUCH_LESS_CPU:
            return (
                f"in processes calls need {percent(inside)} of the CPU time that"
                " they need here, so they may do less there: what do they use that was"
                " set up in this process only?"
            )
        if inside is None and here is not None and here > _MORE_CPU:
            return (
                f"threads need {here:.2f} times the CPU time that one alone does,"
                " for memory that binds them, maybe, and what processes would need is not"
                " known: let the call be one that can be sent to them"
            )
        return ""

    def _hurdle(self) -> float:
        """Return the share of the ceiling that only clearly faster calls reach.

        Calls just at the limit do a part of their work while no other worker can run, and
        the rest with all of them. A machine that gives ``ceiling`` CPUs is slower at the
        rest alone, so that the share of the ceiling comes out higher (Amdahl's law, with
        the ceiling for the processors).
        """
        assert self._ceiling is not None  # there are blocks
        alone = (1 / self._efficiency - 1) / (self._blocks.workers - 1)
        at_limit = 1 / (1 + alone * (self._ceiling - 1))
        return max((1 + self._efficiency) / 2, at_limit)

    def reason(self) -> str:
        """Return what was found, in a sentence."""
        fraction = self._blocks.ceiling_fraction.ratio(1 - 2 * ALPHA)
        speedup = self._blocks.speedup.median
        if not fraction.known or speedup is None:
            return "there was no time for a block: give it a larger budget"
        if self.own_threads:
            return (
                "the call has threads of its own, which share the CPUs with the"
                " workers: limit them to one, with limit_threads=1 for BLAS and OpenMP"
            )
        words = (
            f"{self._blocks.workers} threads reach {percent(fraction.value)} of what this"
            f" machine achieves ({_range(fraction)}), {math.exp(speedup):.2f} times as"
            " fast as one;"
            f" asked for: at least {percent(self._efficiency)}"
        )
        decided = self.decision()
        return words if decided else f"{self._open()}; {words}"

    def _open(self) -> str:
        """Say why nothing was decided."""
        if self._release is not None and self._release.side >= 0:
            return "the share of time for which it holds the GIL is not known: " + (
                self._release.reason or f"at most {percent(self._release.held.high)}"
            )
        if self._missing and (why := self._unlike()):
            return why
        if self._missing or self.hindrance > 0:
            return self._contradiction()
        return self._shortage()

    def _shortage(self) -> str:
        """Return what the blocks lack."""
        count, deprived = self._blocks.blocks, self._blocks.deprived
        blocks = f"{count} block{'s' if count != 1 else ''}"
        if deprived > count / 4:
            return f"a hypervisor or a quota took CPUs away in {deprived} of {blocks}"
        if not self._blocks.ceiling_fraction_without_waits:
            return "how long workers wait for a CPU is not known here"
        if not self.discerning:
            return f"the machine is too busy for a verdict, after {blocks}"
        return f"blocks differ too much for a verdict, after {blocks}"

    def _contradiction(self) -> str:
        """Return in what samples of threads that call at once contradict the clocks."""
        assert self._waits is not None
        words = "clocks and the watch disagree: threads that make the same calls were"
        if self.hindrance > 0:
            least = self._waits.hindered.low / self._waits.workers
            return (
                f"{words} found waiting for the GIL, locks or stops of all threads for at"
                f" least {percent(least)} of their time"
            )
        return f"{words} hardly found waiting, and need no more CPU time than alone"

    def advice(self) -> str:
        """Return what likely makes threads slow although the GIL is released."""
        serial = self._blocks.serial_cpu.median
        parallel = self._blocks.parallel_cpu.median
        overlap = self._blocks.overlap.median
        if serial and parallel and parallel > 1.25 * serial:
            return (
                f"threads use {parallel / serial:.1f} times the CPU time"
                " that one alone does: look for data that they share and write, locks"
                " that spin, and memory that each call allocates anew"
            )
        if overlap is not None and overlap < _CLEARLY * self._efficiency:
            return (
                "threads wait for each other: look for a lock of the library's own, or"
                " an object that all of them use"
            )
        if overlap is None:
            return (
                "how far threads run at the same time is not known here: look for a lock"
                " of the library's own, input and output, or calls that are short"
            )
        each = self._blocks.seconds["parallel"].median
        if serial is not None and each is not None:
            return (
                "starting together or being done apart costs too much of"
                f" {duration(each)}: look for work that is uneven, or calls that are"
                " short"
            )
        return ""


def _range(figure: Estimate) -> str:
    if not figure.bounded:
        return "with too few blocks for bounds"
    return f"{percent(figure.low)} to {percent(figure.high)}"
