"""Assertions about the GIL that don't fail at random.

Assertions are decided by evidence, and by as much of it as the question needs: a verdict
is ``pass``, ``fail`` or, if the machine or the call leaves the question open,
``inconclusive``, which skips the test. On a loaded machine a verdict takes longer or is
inconclusive, but is not wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.speedup.scaling_decision import EFFICIENCY, Outcome
from gilx.testing.longest_hold_verdict import judge_longest_hold
from gilx.testing.release_verdict import judge_hold, judge_release
from gilx.testing.scaling_verdict import judge_scaling, not_scaled
from gilx.testing.verdict import (
    Failure,
    Inconclusive,
    LongestHoldEvidence,
    ReleaseEvidence,
    ScalingEvidence,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Failure",
    "Inconclusive",
    "LongestHoldEvidence",
    "Outcome",
    "ReleaseEvidence",
    "ScalingEvidence",
    "Verdict",
    "assert_holds_gil",
    "assert_longest_hold",
    "assert_releases_gil",
    "assert_scales",
    "insist",
    "judge_hold",
    "judge_longest_hold",
    "judge_release",
    "judge_scaling",
    "not_scaled",
]


def assert_releases_gil(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_least: float = 0.9,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Assert that a call releases the GIL for at least a share of its time.

    The call is repeated, and the GIL watched without taking it, until the share is
    clearly on one side of `at_least`. Time in which other threads hold the GIL is left
    out, so a busy machine does not change the answer.

    Without a GIL, on CPython 3.14, the share of the time in which the calling thread is
    detached is judged instead: a stop of all threads does not wait for a detached thread.
    Time in which others stop the calling thread is left out.

    Parameters
    ----------
    fn : callable
        The callable; bind keywords with `functools.partial`.
    *args
        Arguments of the call.
    at_least : float
        The share of the call's wall time, above 0 and at most 1.
    budget : float
        Seconds that watching may take, above 0. One call is always made, and no call is
        ended: if `fn` does not return, neither does this.
    setup : callable, optional
        Called once for each call, outside of what is watched and up to a thousand calls
        ahead; it returns a tuple, the arguments of that call after `args`, or None.

    Returns
    -------
    Verdict
        The verdict, which passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        The call does not; the message has the evidence, the likely cause and where to
        look. The attribute ``verdict`` of the error has all of the evidence.
    Inconclusive
        The verdict is inconclusive, see `Inconclusive`. It skips the test.
    Exception
        Whatever the function raises, with a note.

    """
    __tracebackhide__ = True  # pytest shows the line of the test
    return insist(judge_release(fn, *args, at_least=at_least, budget=budget, setup=setup))


def assert_holds_gil(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_least: float = 0.9,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Assert that a call holds the GIL for at least a share of its time.

    For calls that must not run beside other Python code, and to show that a check can
    fail. Parameters, result and errors are those of `assert_releases_gil`.
    """
    __tracebackhide__ = True  # pytest shows the line of the test
    return insist(judge_hold(fn, *args, at_least=at_least, budget=budget, setup=setup))


def assert_longest_hold(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_most: float = 0.05,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Assert that a call never holds the GIL for longer than some time at a stretch.

    The longest hold is the longest time for which a request for the GIL goes unanswered:
    other threads stand still for that long, however small the share of the time is.
    Python code answers within the switch interval, 5 ms. The call is repeated beside a
    thread that asks for the GIL again and again, and the GIL is watched, until it is
    certain on which side of the limit the longest hold is. Only the calling thread is
    judged.

    Parameters
    ----------
    fn : callable
        The callable; bind keywords with `functools.partial`.
    *args
        Arguments of the call.
    at_most : float
        The longest hold in seconds, from 0.01 to 86400.
    budget : float
        Seconds that watching may take, above 0. One call is always made, and no call is
        ended: if `fn` does not return, neither does this.
    setup : callable, optional
        Called once for each call, outside of what is watched and up to a thousand calls
        ahead; it returns a tuple, the arguments of that call after `args`, or None.

    Returns
    -------
    Verdict
        The verdict, which passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        A hold is longer; the message has its length, the line that held the GIL, and the
        likely cause. The attribute ``verdict`` of the error has all of the evidence.
    Inconclusive
        The verdict is inconclusive, see `Inconclusive`. It skips the test.
    Exception
        Whatever the function raises, with a note.

    """
    __tracebackhide__ = True  # pytest shows the line of the test
    return insist(
        judge_longest_hold(fn, *args, at_most=at_most, budget=budget, setup=setup)
    )


def assert_scales(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    workers: int = 2,
    efficiency: float = EFFICIENCY,
    budget: float = 30.0,
    setup: Callable[[], object] | None = None,
    limit_threads: int | None = None,
) -> Verdict:
    """Assert that calls in several threads are as fast as this machine achieves.

    Each of `workers` threads makes the same calls as one thread does alone and, in the
    same block, as `workers` processes do. The speedup of the processes is the ceiling;
    the threads have to reach a share of it.

    Parameters
    ----------
    fn : callable
        The callable, safe to call from several threads at once; bind keywords with
        `functools.partial`.
    *args
        Arguments of the call.
    workers : int
        How many threads, at least 2.
    efficiency : float
        The share of the ceiling that the threads have to reach, above 0 and at most 1.
    budget : float
        Seconds that the check may take, above 0. One call is always made, and no call is
        ended: if `fn` does not return, neither does this.
    setup : callable, optional
        Called once for each call, outside of what is timed and up to a thousand calls
        ahead; it returns a tuple, the arguments of that call after `args`, or None.
    limit_threads : int, optional
        Number of threads that libraries such as BLAS may start meanwhile, at least 1; by
        default it is not changed. This needs ``threadpoolctl``.

    Returns
    -------
    Verdict
        The verdict, which passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        The threads do not; the message has the evidence, the likely cause and where to
        look. The attribute ``verdict`` of the error has all of the evidence.
    Inconclusive
        The verdict is inconclusive, see `Inconclusive`. It skips the test.
    Exception
        Whatever the function raises, with a note.

    """
    __tracebackhide__ = True  # pytest shows the line of the test
    return insist(
        judge_scaling(
            fn,
            *args,
            workers=workers,
            efficiency=efficiency,
            budget=budget,
            setup=setup,
            limit_threads=limit_threads,
        )
    )


def insist(verdict: Verdict) -> Verdict:
    """Return a verdict that passed.

    Raises
    ------
    AssertionError
        The verdict failed. The attribute ``verdict`` of the error is that verdict.
    Inconclusive
        The verdict is inconclusive.

    """
    __tracebackhide__ = True  # pytest shows the line of the test
    if verdict.outcome == "inconclusive":
        raise Inconclusive(verdict)
    if verdict.outcome == "fail":
        raise Failure(verdict)
    return verdict
