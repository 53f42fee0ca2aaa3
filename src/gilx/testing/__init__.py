"""Assertions about the GIL that don't fail at random.

What is asserted is decided by evidence, and by as much of it as the question needs: a
verdict is ``pass``, ``fail`` or, where the machine or the call leaves it open,
``inconclusive``, which skips the test. A loaded machine makes a verdict later, or
inconclusive, but not wrong.
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
    clearly on one side. Time in which other threads hold the GIL is left out, so a busy
    machine does not change the answer.

    Without a GIL, on CPython 3.14, the share of the time in which the calling thread is
    detached is judged instead: a stop of all threads does not wait for it then. Time in
    which others stop it is left out.

    Parameters
    ----------
    fn : callable
        What to call. Keywords go in with `functools.partial`.
    *args
        What to call it with.
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
        It passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        It does not; the message has the evidence, what likely causes it and what to look
        at. Its attribute ``verdict`` has all of it.
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

    For what must not run beside other Python code, and to see that a check can fail.
    Parameters, result and errors are those of `assert_releases_gil`.
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
    so long other threads stand still, however small the share of the time is. Python code
    answers within the switch interval, 5 ms. The call is repeated beside a thread that
    asks for the GIL again and again, and the GIL is watched, until it is certain on which
    side of the limit the longest hold is. Only the calling thread is judged.

    Parameters
    ----------
    fn : callable
        What to call. Keywords go in with `functools.partial`.
    *args
        What to call it with.
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
        It passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        A hold is longer; the message has its length, the line that held the GIL, and what
        likely causes it. Its attribute ``verdict`` has all of it.
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

    Each of so many threads makes the same calls as one thread does alone and, in the same
    block, as so many processes do. What the processes achieve is the ceiling; the threads
    have to reach a share of it.

    Parameters
    ----------
    fn : callable
        What to call, safe to call from several threads at once. Keywords go in with
        `functools.partial`.
    *args
        What to call it with.
    workers : int
        How many threads, at least 2.
    efficiency : float
        The share of the ceiling that they have to reach, above 0 and at most 1.
    budget : float
        Seconds that it may take, above 0. One call is always made, and no call is ended:
        if `fn` does not return, neither does this.
    setup : callable, optional
        Called once for each call, outside of what is timed and up to a thousand calls
        ahead; it returns a tuple, the arguments of that call after `args`, or None.
    limit_threads : int, optional
        How many threads of their own libraries such as BLAS may start meanwhile, at least
        1; by default that is not changed. It needs ``threadpoolctl``.

    Returns
    -------
    Verdict
        It passed.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    AssertionError
        They do not; the message has the evidence, what likely causes it and what to look
        at. Its attribute ``verdict`` has all of it.
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
        It failed. Its attribute ``verdict`` is that verdict.
    Inconclusive
        It is inconclusive.

    """
    __tracebackhide__ = True  # pytest shows the line of the test
    if verdict.outcome == "inconclusive":
        raise Inconclusive(verdict)
    if verdict.outcome == "fail":
        raise Failure(verdict)
    return verdict
