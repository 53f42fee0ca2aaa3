"""How much work a task needs before threads pay.

A region hands each worker one grain of items and waits for all. That costs the same
however little there is to do, so that small grains are computed sooner by one thread.
Where t is the time of an item, R the cost of an empty region and n the number of workers,
n grains of g items take n g t on one thread and g t + R on n of them. They are even at

    g = R / (t (n - 1))

which is what to expect; what is found is measured, grain by grain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from gilx import kernels, pools
from gilx.conditions import Conditions, between, snapshot
from gilx.environment import Environment, usable_cpus
from gilx.errors import ArgumentError, at_least, number_between, one_of
from gilx.findings import examine
from gilx.gilwatch.release_costs import costs
from gilx.kernels.base import Kernel
from gilx.meter.blocks import time_blocks
from gilx.pools.base import Pool, Region
from gilx.pools.serial import SerialPool
from gilx.records import from_json, to_json
from gilx.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.kernels.base import Array, Problem

__all__ = ["Grain", "GrainRow", "grain"]

_SCHEMA = "gilx.grain"
_VERSION = 1

# So many blocks have an interval of the median that spans neither the least nor the
# largest of them; more than the most make it narrower than anybody needs.
_LEAST_BLOCKS = 9
_MOST_BLOCKS = 101
# Grains are tried up to so many times the expected one.
_BEYOND = 64
# How often the cost of an empty region, and that of claims, is measured.
_ROUNDS = 31
# How many claims are timed together, and how long it takes to know an item's time.
_CLAIMS = 10_000
_ITEM_SECONDS = 2e-3


@dataclass(frozen=True)
class GrainRow:
    """What was measured for one grain. Times are medians over blocks, in seconds."""

    grain: int
    """Items that each worker got."""
    serial: float
    """One thread, the grains of all workers in one call."""
    parallel: float
    """All workers, one grain each, handing out and waiting included."""
    speedup: float
    """Median over blocks of serial over parallel."""
    speedup_interval: tuple[float, float]
    """Where the true median is, at 95 %."""

    @property
    def wins(self) -> bool:
        """Whether the interval of the speedup lies above 1."""
        return self.speedup_interval[0] > 1


@dataclass(frozen=True)
class Grain:
    """The smallest grain that pays, and the costs behind it. Times are in seconds."""

    target: str
    variant: str | None
    """The kernel's variant; None for a callable."""
    pool: str
    workers: int
    grain: int | None
    """The smallest grain tried from which on all of them beat serial; None: none did."""
    work: float | None
    """How long one worker computes on that grain."""
    region: float
    """What an empty region costs between others: handing out work, waiting for all."""
    region_interval: tuple[float, float]
    claim: float
    """What claiming a grain costs, and starting on it."""
    release: float
    """What letting the GIL go and taking it back costs when nobody else wants it."""
    handover: float | None
    """How long the GIL stays unused when a waiting thread gets it; None without a GIL."""
    item: float
    """How long an item takes on one thread, in the largest grain tried."""
    blocks: int
    rows: tuple[GrainRow, ...]
    """Grains in ascending order."""
    environment: Environment
    conditions: Conditions
    """Those while it was measured."""

    @property
    def expected(self) -> float:
        """The grain at which both are even, as the costs have it."""
        gain = self.item * (self.workers - 1)
        return self.region / gain if gain > 0 else math.inf

    def __str__(self) -> str:
        what = self.target if self.variant is None else f"{self.target} {self.variant}"
        head = f"{what}, {self.workers} workers ({self.pool}):"
        largest = self.rows[-1]
        if self.grain is not None and self.work is not None:
            head += (
                f" from {_items(self.grain)} each they beat one thread;"
                f" that is {duration(self.work)} of work"
            )
        else:
            head += (
                f" they did not beat one thread with up to {_items(largest.grain)} each,"
                f" {duration(largest.serial / self.workers)} of work"
            )
            if self.environment.usable_cpus == 1:
                head += "; with one usable CPU they can't"
            elif self.environment.gil and self.expected < largest.grain:
                head += "; gilx probe tells whether the work holds the GIL"
        low, high = self.region_interval
        empty = f"{duration(self.region)} ({duration(low)} to {duration(high)})"
        price = f"letting the GIL go and taking it back: {duration(self.release)}"
        if self.handover is not None:
            price += f"; until a waiting thread has it: {duration(self.handover)}"
        lines = [
            head,
            "",
            f"handing out a region and waiting for it: {empty}",
            f"claiming a grain: {duration(self.claim)}",
            price,
            f"an item: {duration(self.item)}",
        ]
        if math.isfinite(self.expected):
            even = _items(max(1, math.ceil(self.expected)))
            lines.append(f"so both should be even at {even} each")
        lines += ["", *self._table()]
        found = examine(self.environment, self.conditions)
        doubtful = [f"* {finding}" for finding in found if finding.doubtful]
        if doubtful:
            lines += ["", "What makes these figures doubtful:", *doubtful]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        lines = ["     items     one thread        all  speedup"]
        for row in self.rows:
            low, high = row.speedup_interval
            lines.append(
                f"{row.grain:>10}  {duration(row.serial):>13}"
                f"  {duration(row.parallel):>9}  {row.speedup:>6.2f}x"
                f"  {low:.2f} to {high:.2f}"
                f"{'  wins' if row.wins else ''}"
            )
        return lines

    def to_json(self) -> str:
        """Return the figures as JSON text, which `from_json` reads."""
        return to_json(self, _SCHEMA, _VERSION)

    @classmethod
    def from_json(cls, text: str) -> Grain:
        """Return what `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        found = from_json(cls, text, _SCHEMA, _VERSION)
        at_least("text.workers", found.workers, 1)
        if not found.rows:
            raise ArgumentError("text.rows: expected at least one row, got none")
        return found


def grain(
    target: str | Kernel | Callable[[int, int], object],
    *,
    workers: int | None = None,
    variant: str | None = None,
    pool: str = "threads",
    size: int | None = None,
    items: int | None = None,
    budget: float = 5.0,
    seed: int = 0,
    show: Callable[[str], None] | None = None,
) -> Grain:
    """Find the smallest grain at which workers beat one thread.

    Each grain that is a power of two is tried: all workers compute one grain each, and
    one thread the same items in one call, in blocks of random order. A kernel's grains
    are its first items.

    Parameters
    ----------
    target : str, Kernel or callable
        A kernel or its name; or ``fn(start, stop)``, which computes the items from
        `start` up to `stop`, wherever they are, and can do so in several threads.
    workers : int, optional
        How many workers, at least 2; by default the CPUs that this process may use, or 2.
    variant : str, optional
        The kernel's variant, by default c-nogil; None for a callable.
    pool : str
        Where the workers are: one of ``gilx.pools.names()`` but serial and native, which
        have no part of a kernel to give away.
    size : int, optional
        The size of the kernel's problem; None for a callable.
    items : int, optional
        How many items a callable has, at least one for each worker: it is called for
        none beyond. None for a kernel, whose problem has its own.
    budget : float
        How long to measure, in seconds, 0.1 to 3600. What makes out costs takes a second
        more.
    seed : int
        Seed of the problem and of the blocks' orders.
    show : callable, optional
        Told between blocks how far it is, in words.

    Returns
    -------
    Grain
        The grain, or None in its place if none tried wins; and the costs behind it.

    Raises
    ------
    ArgumentError
        An argument is not as described, or an item takes so long that the budget is too
        small; the message says what would do.
    BaseException
        Whatever the callable raised.

    """
    workers = (
        max(2, usable_cpus()) if workers is None else at_least("workers", workers, 2)
    )
    one_of("pool", pool, [one for one in pools.names() if one not in _WHOLE_ONLY])
    budget = number_between("budget", budget, 0.1, 3600)
    work = _work(target, variant, size, items, at_least("seed", seed, 0))
    if work.items < workers:
        raise ArgumentError(
            f"{'items' if work.problem is None else 'size'}: expected an item for each"
            f" of {workers} workers, got {work.items}"
        )
    before = snapshot()
    with pools.start(pool, workers) as started, SerialPool() as alone:
        item = work.item_seconds(alone)
        region = median(_settled(started, work.region(0)) for _ in range(_ROUNDS))
        grains = _grains(region / (item * (workers - 1)), work.items // workers)
        blocks, grains = _plan(grains, item, region, workers, budget)
        samples = time_blocks(
            {
                (arm, size): _arm(runner, work.region(size * workers))
                for size in grains
                for arm, runner in (("serial", alone), ("parallel", started))
            }
            # Regions one after the other find everybody awake, and cost less than those
            # that come after something else.
            | {("parallel", 0): _arm(started, work.region(0))},
            blocks,
            seed=seed,
            between=None
            if show is None
            else lambda done: show(f"block {done + 1} of {blocks}"),
        )
        # Before the pool is closed, so that workers elsewhere still count as our own.
        conditions = between(before, snapshot())
    rows = tuple(
        _row(size, samples["serial", size], samples["parallel", size]) for size in grains
    )
    found = _smallest(rows)
    price = costs(rounds=3)
    return Grain(
        target=work.name,
        variant=None if work.problem is None else work.variant,
        pool=pool,
        workers=workers,
        grain=None if found is None else found.grain,
        work=None if found is None else found.serial / workers,
        region=median(samples["parallel", 0]),
        region_interval=_median_interval(samples["parallel", 0]),
        claim=_claim_seconds(work.variant),
        release=price.release,
        handover=price.handover,
        item=rows[-1].serial / (rows[-1].grain * workers),
        blocks=blocks,
        rows=rows,
        environment=Environment.here(),
        conditions=conditions,
    )


# The serial pool has one worker, and the native one takes whole problems.
_WHOLE_ONLY = ("serial", "native")


# ---- what is computed ------------------------------------------------------------------


class _Called(Kernel):
    """A callable that computes items, in the place of a kernel."""

    item, unit, size_is = "item", "items", "items"
    summary = bottleneck = "whatever the callable does"

    def __init__(self, fn: Callable[[int, int], object]) -> None:
        self.fn = fn

    @property
    def name(self) -> str:  # type: ignore[override]
        """What to call it."""
        return getattr(self.fn, "__qualname__", None) or type(self.fn).__qualname__

    @staticmethod
    def python(*arguments: Any) -> None:  # noqa: ANN401 - the kernels' signature
        raise NotImplementedError

    def function(self, variant: str) -> Callable[..., Any]:
        """Return the callable: pools call Python code for each grain."""
        del variant
        return self.fn

    def make(self, size: int, rng: object) -> tuple[tuple[Any, ...], Array]:
        """Raise: nobody knows what it computes."""
        raise NotImplementedError

    def units(self, problem: Problem) -> int:
        """Raise: nobody knows what it computes."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class _Work:
    """Items to compute: those of one region of a kernel, or of a callable."""

    whole: Region
    problem: Problem | None

    @property
    def name(self) -> str:
        return self.whole.kernel.name

    @property
    def variant(self) -> str:
        return self.whole.variant

    @property
    def items(self) -> int:
        return self.whole.items

    def region(self, items: int) -> Region:
        """Return the region of the first items, an equal block for each worker."""
        whole = self.whole
        return Region(whole.kernel, whole.variant, whole.arguments, items, "static")

    def item_seconds(self, alone: SerialPool) -> float:
        """Return about how long an item takes, above 0."""
        items = 1
        # Whatever happens at the first call only is not to count.
        alone.run(self.region(1))
        while True:
            seconds = alone.run(self.region(items))
            if seconds >= _ITEM_SECONDS or items == self.items:
                return max(seconds, 1e-9) / items
            items = min(self.items, 2 * items)


def _work(
    target: str | Kernel | Callable[[int, int], object],
    variant: str | None,
    size: int | None,
    items: int | None,
    seed: int,
) -> _Work:
    if isinstance(target, (str, Kernel)):
        kernel = kernels.get(target) if isinstance(target, str) else target
        if items is not None:
            raise ArgumentError(
                f"items: expected None for a kernel, whose size says it; got {items!r}"
            )
        variant = "c-nogil" if variant is None else variant
        one_of("variant", variant, kernel.variants)
        problem = kernel.problem(size, seed)
        whole = Region(kernel, variant, problem.calls()[0], problem.items)
        return _Work(whole, problem)
    if not callable(target):
        raise ArgumentError(
            "target: expected a kernel, its name, or a callable that takes start and"
            f" stop; got {target!r}"
        )
    for name, given in (("variant", variant), ("size", size)):
        if given is not None:
            raise ArgumentError(f"{name}: expected None for a callable, got {given!r}")
    if items is None:
        raise ArgumentError("items: expected how many items the callable has, got None")
    return _Work(Region(_Called(target), "python", (), at_least("items", items, 1)), None)


# ---- measuring -------------------------------------------------------------------------


def _settled(pool: Pool, region: Region) -> float:
    """Run a region, and let nobody spin when the next arm is timed."""
    seconds = pool.run(region)
    pool.settle()
    return seconds


def _arm(pool: Pool, region: Region) -> Callable[[], float]:
    return lambda: _settled(pool, region)


def _grains(expected: float, most: int) -> list[int]:
    """Return the powers of two up to far beyond the expected grain."""
    top = min(most, max(1.0, _BEYOND * expected))
    return [2**power for power in range(math.floor(math.log2(top)) + 1)]


def _plan(
    grains: list[int], item: float, region: float, workers: int, budget: float
) -> tuple[int, list[int]]:
    """Return how many blocks fit into the budget, and which grains.

    The largest grains are left out where they would leave too few blocks. Taken to be
    right is the worst case: that workers compute one after the other.
    """

    def seconds(given: list[int]) -> float:
        return sum(2 * workers * size * item + region for size in [0, *given])

    chosen = list(grains)
    # One block more is not counted, see `time_blocks`.
    while len(chosen) > 1 and (_LEAST_BLOCKS + 1) * seconds(chosen) > budget:
        chosen.pop()
    needed = (_LEAST_BLOCKS + 1) * seconds(chosen)
    if needed > budget:
        raise ArgumentError(
            f"budget: expected at least {math.ceil(needed)} seconds for"
            f" {_LEAST_BLOCKS + 1} blocks, as an item takes {duration(item)};"
            f" got {budget:g}"
        )
    return min(_MOST_BLOCKS, int(budget / seconds(chosen)) - 1), chosen


def _row(size: int, serial: Sequence[float], parallel: Sequence[float]) -> GrainRow:
    ratios = [a / b for a, b in zip(serial, parallel, strict=True)]
    return GrainRow(
        grain=size,
        serial=median(serial),
        parallel=median(parallel),
        speedup=median(ratios),
        speedup_interval=_median_interval(ratios),
    )


def _smallest(rows: Sequence[GrainRow]) -> GrainRow | None:
    """Return the row from which on all win: one that wins by chance has losers after."""
    found = None
    for row in reversed(rows):
        if not row.wins:
            break
        found = row
    return found


def _median_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the interval of the true median at 95 %, whatever the distribution.

    The values are below the median as often as a coin shows heads, so that the binomial
    distribution says how many of them to leave out at either end.
    """
    ordered = sorted(values)
    count, left, tail = len(ordered), 0, 0.5 ** len(ordered)
    while 2 * tail <= 0.05:
        left += 1
        tail += math.comb(count, left) * 0.5**count
    out = max(0, left - 1)
    return ordered[out], ordered[count - 1 - out]


def _claim_seconds(variant: str) -> float:
    """Return what it costs to claim a grain and to start on it.

    Items that take next to nothing are claimed one by one, and all at once; what differs
    is due to the claims.
    """
    if variant in ("python", "numpy"):
        kernel: Kernel = _Called(lambda _start, _stop: None)
        arguments: tuple[Any, ...] = ()
        variant = "python"
    else:
        kernel = kernels.get("triad")
        arguments = kernel.problem(_CLAIMS).calls()[0]

    def seconds(size: int) -> float:
        with SerialPool() as alone:
            return alone.run(Region(kernel, variant, arguments, _CLAIMS, "dynamic", size))

    each = [seconds(1) - seconds(_CLAIMS) for _ in range(_ROUNDS)]
    return max(0.0, median(each)) / _CLAIMS


def _items(number: int) -> str:
    return f"{number} item{'s' if number != 1 else ''}"
