"""Predictions for more workers, from the figures of one: a closed queueing network.

Each of n workers goes round and round: it asks for the GIL, waits its turn, holds it,
computes without it, waits for something else (a disk, a peer, a timer), asks again. The
GIL is one server, first come first served, with hold times of any distribution; the C
CPUs are shared evenly by all workers that need one, the holder of the GIL included;
waiting for something else needs neither. The solution has three parts.

1. One server and sources that come back after a delay (the GIL, and CPUs enough for all)
   have an exact solution for any distribution of the holds, if the delay is exponential:
   L. Takacs, Introduction to the Theory of Queues, Oxford University Press 1962, ch. 5.
   With exponential holds it holds for delays of any distribution (Baskett, Chandy, Muntz
   and Palacios, Open, Closed, and Mixed Networks of Queues, J. ACM 22, 1975).
2. If holds and delays hardly vary, workers fall into step and never meet by chance:
   workers that always take the same time wait only once the GIL is saturated, which is
   exact. Between this case and part 1 the wait is interpolated, by how far the phase of
   one worker drifts against that of another in a cycle (see `_mixing`).
3. If there are fewer CPUs than workers, holds and delays get longer. By how much is
   computed as if holds were exponential, from a birth-death chain over the number at the
   GIL with the rest of the network as a flow-equivalent server (Chandy, Herzog and Woo,
   Parametric Analysis of Queuing Networks, IBM J. Res. Dev. 19, 1975).

The model leaves out the switch interval (a holder that runs Python code is asked to let
go every 5 ms, which cuts long holds into shorter ones), contention for anything but the
GIL and CPUs, and the order in which the operating system wakes waiting threads. It takes
the holder's share of the CPUs to be fair, which is so for holds that are long for the
scheduler. The throughput of workers that never vary and share too few CPUs depends on how
they started: predictions for them were up to 11 % off in simulations, and up to 15 % low
where a hand-over takes a third of a hold as well. The median error of all simulations was
below 1 %.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gilx.errors import ArgumentError, at_least, real_at_least
from gilx.sampling.prediction_record import Prediction, PredictionRow
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Reals: TypeAlias = npt.NDArray[np.float64]

# Number of points that gives the transform of a sample of holds to a fraction of a
# percent.
_SAMPLE_POINTS = 100
_NOTHING = 1e-12
# The solution keeps several arrays with a number for each worker: 80 MB each at this
# limit.
MOST_WORKERS = 10**7


def predict(
    workers: Sequence[int],
    *,
    hold: float | Sequence[float],
    hold_scv: float | None = None,
    release: float = 0.0,
    waiting: float = 0.0,
    delay_scv: float = 1.0,
    retake: float = 0.0,
    handover: float = 0.0,
    cpus: int | None = None,
    cycles: float = 1.0,
) -> Prediction:
    """Predict the throughput of many workers from the figures of one that ran alone.

    Parameters
    ----------
    workers : sequence of int
        Numbers of workers to predict for, each 1 to 10**7.
    hold : float or sequence of float
        Time for which the GIL is held in a cycle, in seconds: the mean, or a sample of
        holds.
    hold_scv : float, optional
        Squared coefficient of variation of the holds (variance over squared mean): 0 if
        all are alike, 1, the default, if they vary as exponential ones do. A sample has
        its own.
    release : float
        Mean CPU time in a cycle without the GIL, in seconds.
    waiting : float
        Mean time in a cycle with neither GIL nor CPU (input, output, sleep), in seconds,
        as it was measured: a sleep lasts longer than requested.
    delay_scv : float
        Squared coefficient of variation of release and waiting together.
    retake : float
        Cost of releasing the GIL and taking it again if no other thread wants it, in
        seconds; 0 if the other figures already contain it.
    handover : float
        Time for which the GIL stays unused when it goes to a thread that waits for it, in
        seconds.
    cpus : int, optional
        Number of CPUs that the workers have, at least 1; by default those that this
        process may use.
    cycles : float
        Cycles in a call, above 0.

    Returns
    -------
    Prediction
        A row for each number of workers, in the order given.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.

    """
    if not isinstance(workers, Sequence) or not workers:
        raise ArgumentError(
            f"workers: expected a sequence of whole numbers, got {workers!r}"
        )
    counts = [at_least("workers", count, 1, MOST_WORKERS) for count in workers]
    law = _law(hold, hold_scv)
    release = real_at_least("release", release, 0)
    waiting = real_at_least("waiting", waiting, 0)
    delay_scv = real_at_least("delay_scv", delay_scv, 0)
    retake = real_at_least("retake", retake, 0)
    handover = real_at_least("handover", handover, 0)
    cpus = usable_cpus() if cpus is None else at_least("cpus", cpus, 1, MOST_WORKERS)
    cycles = real_at_least("cycles", cycles, 0)
    if cycles == 0:
        raise ArgumentError("cycles: expected above 0, got 0")
    cycle = law.mean + release + waiting + retake
    if math.isinf(cycle):
        raise ArgumentError(
            "hold: expected a finite sum with release, waiting and retake, got inf"
        )
    if law.mean + release + waiting == 0:
        raise ArgumentError(
            "hold: expected above 0 where release and waiting are 0, got 0"
        )

    # An uncontended release costs CPU time, hardly any of it with the GIL held.
    network = _Network(law, release + retake, waiting, delay_scv, handover, cpus)
    busy = (law.mean + network.release) / cycle
    rows = []
    for count in counts:
        rate = network.rate(count)
        bound = min(count, cpus / busy if busy else count)
        rows.append(
            PredictionRow(
                workers=count,
                throughput=rate / cycles,
                speedup=rate * cycle,
                locked=min(1.0, rate * network.stretched_hold(count)),
                bound=min(bound, cycle / law.mean) if law.mean else float(bound),
            )
        )
    return Prediction(
        rows=tuple(rows),
        hold=law.mean,
        hold_scv=law.scv,
        release=release,
        waiting=waiting,
        delay_scv=delay_scv,
        retake=retake,
        handover=handover,
        cpus=cpus,
        cycles=cycles,
    )


# ---- how long the holds are ------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Law:
    """The distribution of the holds, known by its Laplace transform."""

    mean: float
    scv: float
    sample: Reals | None = None

    def minus_log_transform(self, rates: Reals, stretch: float) -> Reals:
        """Return -log E exp(-rate * hold) for holds that last `stretch` times as long.

        A law that is given by its moments alone is taken to be gamma distributed, which
        spans constant (0) to exponential (1) holds, and beyond that hyperexponential with
        balanced means, as is usual for times that vary more (H. C. Tijms, Stochastic
        Models: An Algorithmic Approach, Wiley 1994, appendix B).
        """
        if self.sample is not None:
            products = np.multiply.outer(self.sample * stretch, rates)
            # Terms are relative to the largest one, so that they do not all underflow.
            least: Reals = products.min(axis=0)
            means: Reals = np.exp(least - products).mean(axis=0)
            minus_logs: Reals = least - np.log(means)
            return minus_logs
        scaled = rates * (self.mean * stretch)
        if self.scv == 0:
            return scaled
        if self.scv <= 1:
            spread = scaled * self.scv
            # If the spread is too small to matter, or for a double, holds are constant.
            gamma: Reals = np.where(
                spread < sys.float_info.epsilon, scaled, np.log1p(spread) / self.scv
            )
            return gamma
        short = (1 + math.sqrt((self.scv - 1) / (self.scv + 1))) / 2
        mixed: Reals = short / (1 + scaled / (2 * short)) + (1 - short) / (
            1 + scaled / (2 * (1 - short))
        )
        logs: Reals = np.log(mixed)
        return -logs


def _law(hold: float | Sequence[float], scv: float | None) -> _Law:
    if isinstance(hold, (Sequence, np.ndarray)) and not isinstance(hold, (str, bytes)):
        if scv is not None:
            raise ArgumentError(
                f"hold_scv: expected None, as a sample of holds has its own; got {scv!r}"
            )
        sample = np.array([real_at_least("hold", each, 0) for each in hold])
        if not len(sample):
            raise ArgumentError("hold: expected at least one hold, got none")
        with np.errstate(over="ignore"):
            mean = float(sample.mean())
        if math.isinf(mean):
            raise ArgumentError("hold: expected holds with a finite sum, got inf")
        # The square of a mean in seconds may be too small for a float.
        variation = float((sample / mean).var()) if mean else 0.0
        if len(sample) > _SAMPLE_POINTS:
            # The means of equal parts of the sorted sample keep the weight of rare long
            # holds, and the mean.
            shares = np.array_split(np.sort(sample), _SAMPLE_POINTS)
            sample = np.array([share.mean() for share in shares])
            sample *= mean / float(sample.mean())
        return _Law(mean, variation, sample)
    return _Law(
        real_at_least("hold", hold, 0),
        1.0 if scv is None else real_at_least("hold_scv", scv, 0),
    )


# ---- the network -----------------------------------------------------------------------


class _Network:
    """The workers' network; rates are cycles a second."""

    def __init__(
        self,
        law: _Law,
        release: float,
        waiting: float,
        delay_scv: float,
        handover: float,
        cpus: int,
    ) -> None:
        self.law = law
        self.release = release
        self.waiting = waiting
        self.delay_scv = delay_scv
        self.handover = handover
        self.cpus = cpus
        self._solved: dict[int, tuple[float, float]] = {}

    def rate(self, workers: int) -> float:
        """Return how many cycles a second all workers make together."""
        return self._solve(workers)[0]

    def stretched_hold(self, workers: int) -> float:
        """Return how long a hold lasts on average, sharing the CPUs included."""
        return self._solve(workers)[1]

    def _solve(self, workers: int) -> tuple[float, float]:
        if workers not in self._solved:
            self._solved[workers] = self._solve_anew(workers)
        return self._solved[workers]

    def _solve_anew(self, workers: int) -> tuple[float, float]:
        hold, delay = self.law.mean, self.release + self.waiting
        # If one of the two is negligible, rounding errors would hide it.
        if hold <= _NOTHING * delay:
            return _flow(workers, self.release, self.waiting, _alone(self.cpus)), 0.0
        if workers == 1:
            return 1 / (hold + delay), hold
        if delay <= _NOTHING * hold:
            # A worker that releases the GIL wants it again at once; no other needs a CPU.
            return 1 / (hold + self.handover), hold
        if self.release <= _NOTHING * delay or workers <= self.cpus:
            return self._rate_at_gil(workers, self.law, 1.0, delay), hold
        rate, stretch, delay = _shared_cpus(
            workers, hold, self.release, self.waiting, self.handover, self.cpus
        )
        # The chain covers exponential holds only. The effect of other holds is computed
        # for the GIL alone, with the holds and delays from the chain.
        exponential = _Law(hold, 1.0)
        rate *= self._rate_at_gil(workers, self.law, stretch, delay) / self._rate_at_gil(
            workers, exponential, stretch, delay
        )
        return min(rate, self.cpus / (hold + self.release)), hold * stretch

    def _rate_at_gil(
        self, workers: int, law: _Law, stretch: float, delay: float
    ) -> float:
        """Return the rate with holds `stretch` times as long, and a given mean delay."""
        hold = law.mean * stretch
        at_random = workers / _random_arrivals(
            workers, law, stretch, delay, self.handover
        )
        in_step = max(hold + delay, workers * (hold + self.handover))
        share = _mixing(law.scv, self.delay_scv, delay / hold)
        return workers / (in_step + share * max(0.0, at_random - in_step))


def _mixing(hold_scv: float, delay_scv: float, ratio: float) -> float:
    """Return the share of the wait at random arrivals that occurs, 0 to 1.

    The distance between two workers that take turns changes only by the variation of a
    cycle: its standard deviation, in units of a hold, is sqrt(hold_scv + delay_scv *
    ratio**2), with `ratio` the mean delay over the mean hold. If a distance takes small
    random steps, and is pushed back when it would be less than a hold, its workers wait
    in each cycle for half the variance of a step over the free time; with two workers,
    this is the variance of a cycle times hold**2 / free. Workers that arrive at random
    wait for (1 + hold_scv) / 2 times hold**2 / free. The share is the quotient of the two
    waits, and at most 1; throughput that follows from it is within 6 % of simulations
    with 2 to 31 workers.
    """
    variance = hold_scv + delay_scv * ratio**2
    return min(1.0, variance / ((1 + hold_scv) / 2))


def _random_arrivals(
    workers: int, law: _Law, stretch: float, delay: float, handover: float
) -> float:
    """Return the rate of a single server whose n sources come back at random.

    With source rate s and the transform f of the service time,

        b_k = product over j = 1..k of (1 - f(j s)) / f(j s),
        odds of busy = n s E[service] * sum over k = 0..n-1 of binomial(n - 1, k) b_k

    (Takacs, see above). All terms are positive, so their logarithms can be summed. If
    others wait, the hand-over is part of the service. As many services end with no worker
    waiting as begin with the GIL free: n s P(free) a second. So the share of services
    with a hand-over follows from the solution, which is iterated.
    """
    source = 1 / delay
    hold = law.mean * stretch
    steps = np.arange(1, workers, dtype=np.float64)
    # log of binomial(n - 1, k) for k = 0..n-1
    choices = np.concatenate([[0.0], np.cumsum(np.log(workers - steps) - np.log(steps))])
    exponents = law.minus_log_transform(steps * source, stretch)
    extra, rate = 0.0, 0.0
    for _ in range(50):
        exponent = exponents + steps * source * extra
        # log of (1 - f) / f = exp(e) - 1, computed so that exp can't overflow
        products = np.cumsum(exponent + np.log(-np.expm1(-exponent)))
        terms = choices + np.concatenate([[0.0], products])
        largest = float(terms.max())
        log_sum = largest + float(np.log(np.exp(terms - largest).sum()))
        log_odds = float(np.log(workers * source * (hold + extra))) + log_sum
        free = float(np.exp(-np.logaddexp(0.0, log_odds)))
        rate = float(np.exp(-np.logaddexp(0.0, -log_odds))) / (hold + extra)
        contended = handover * max(0.0, 1 - workers * source * free / rate)
        if abs(contended - extra) <= 1e-6 * hold:
            break
        extra = contended
    return rate


def _alone(cpus: int) -> Callable[[Reals], Reals]:
    """Return how fast k threads compute together when nobody holds the GIL."""
    return lambda threads: np.minimum(threads, cpus)


def _beside_holder(cpus: int) -> Callable[[Reals], Reals]:
    """Return how fast k threads compute together beside one that holds the GIL."""
    return lambda threads: np.minimum(threads, threads * cpus / (threads + 1))


def _computing(
    inside: int, release: float, waiting: float, speed: Callable[[Reals], Reals]
) -> tuple[Reals, Reals]:
    """Return the numbers of threads that may be computing, and how likely each is.

    `inside` threads alternate between computing and waiting and none is at the GIL: a
    closed network in product form, with weights (release**k / product of speeds) *
    (waiting**w / w!) for k threads that compute and w that wait.
    """
    if waiting <= _NOTHING * release:
        return np.array([float(inside)]), np.array([1.0])
    threads = np.arange(inside + 1, dtype=np.float64)
    steps = threads[1:]
    logs = np.concatenate(
        [[0.0], np.cumsum(np.log(release / waiting) - np.log(speed(steps) / steps))]
    )
    # 1 / w! in terms of k: divide by the number of ways to pick the threads that compute
    logs += np.concatenate([[0.0], np.cumsum(np.log((inside - steps + 1) / steps))])
    weights = np.exp(logs - logs.max())
    return threads, weights / weights.sum()


def _flow(
    inside: int, release: float, waiting: float, speed: Callable[[Reals], Reals]
) -> float:
    """Return the cycles a second of `inside` threads that compute and wait."""
    if release <= _NOTHING * waiting:
        return inside / waiting
    threads, shares = _computing(inside, release, waiting, speed)
    return float(speed(threads) @ shares) / release


def _shared_cpus(
    workers: int, hold: float, release: float, waiting: float, handover: float, cpus: int
) -> tuple[float, float, float]:
    """Return the rate, the factor by which holds get longer, and the mean delay.

    The model is a birth-death chain over j, the number of workers that hold the GIL or
    wait for it. The others compute and wait, and come to the GIL at the rate at which as
    many workers would complete cycles; the holder gets a fair share of a CPU.
    """
    # Rates are computed for few numbers of threads: they change smoothly in between.
    points = np.unique(np.rint(np.geomspace(1, workers, 80))).astype(int)
    points = np.concatenate([[0], points])
    beside, alone, shares = [], [], []
    for point in points.tolist():
        threads, likely = _computing(point, release, waiting, _beside_holder(cpus))
        beside.append(float(_beside_holder(cpus)(threads) @ likely) / release)
        shares.append(float(np.minimum(1.0, cpus / (threads + 1)) @ likely))
        alone.append(_flow(point, release, waiting, _alone(cpus)))
    others = np.arange(workers, -1, -1, dtype=np.float64)  # by j = 0..workers
    lasting = hold / np.interp(others, points, shares)
    # The GIL goes to a waiting thread after every hold, unless no other thread waits.
    service = lasting + np.where(np.arange(workers + 1) >= 2, handover, 0.0)
    # During a hand-over, all CPUs are free for the other workers.
    held = lasting / service
    held[0] = 0.0
    arrivals = held * np.interp(others, points, beside)
    arrivals += (1 - held) * np.interp(others, points, alone)
    logs = np.concatenate([[0.0], np.cumsum(np.log(arrivals[:-1] * service[1:]))])
    likely = np.exp(logs - logs.max())
    likely /= likely.sum()
    leaving = likely[1:] / service[1:]
    rate = float(leaving.sum())
    stretch = float(leaving @ lasting[1:]) / rate / hold
    return rate, stretch, float(others @ likely) / rate
