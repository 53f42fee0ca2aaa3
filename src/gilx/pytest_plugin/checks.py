"""Checks inside a test, and the outcome of the test by their verdicts."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from gilx.errors import ArgumentError, above_zero, at_least, number_between, one_of
from gilx.files import check_writable
from gilx.pytest_plugin.tracing import is_python, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from functools import partial
    from pathlib import Path

    from gilx.pytest_plugin.hang import HangGuard
    from gilx.testing import Verdict

__all__ = [
    "Checks",
    "InconclusiveWarning",
    "PluginOptions",
    "cannot_write",
    "check_limits",
]


_LONGEST_HANG = 86400.0


class InconclusiveWarning(UserWarning):
    """Warning of an inconclusive check, after which the run goes on."""


@dataclass(frozen=True)
class PluginOptions:
    """Settings from the options and the configuration file."""

    budget: float | None
    """Seconds that a verdict may take; None for the default of the check."""
    inconclusive: str
    """'skip', 'fail' or 'warn'."""
    other_workers: int
    """Number of other workers of pytest-xdist that run tests at the same time."""
    hang: float | None
    """Seconds without a release of the GIL after which the run ends; None for never."""

    @classmethod
    def checked(
        cls,
        *,
        budget: str | None,
        hang: str | None,
        inconclusive: str | None,
        json: str | None,
        directory: Path,
        other_workers: int,
    ) -> PluginOptions:
        """Return the settings that options give as text.

        The file `json` is relative to the directory, and None if it is not to be checked.

        Raises
        ------
        ArgumentError
            One of them is wrong; the message names the option.

        """
        if json == "":
            raise ArgumentError("--gilx-json: expected the name of a file, got none")
        if json is not None:
            _check_json(directory / json)
        seconds = None
        if budget is not None:
            seconds = above_zero("--gilx-budget", _number("--gilx-budget", budget))
        longest = None
        if hang is not None:
            name = "--gilx-hang"
            limits = 0.1, _LONGEST_HANG
            longest = number_between(name, _number(name, hang), *limits, unit="seconds")
        how = one_of(
            "--gilx-inconclusive",
            "skip" if inconclusive is None else inconclusive,
            ("skip", "fail", "warn"),
        )
        return cls(seconds, how, other_workers, longest)


def _number(name: str, given: str) -> float:
    try:
        return float(given)
    except ValueError:
        raise ArgumentError(f"{name}: expected a number, got {given!r}") from None


def _check_json(path: Path) -> None:
    """Refuse a file of verdicts that can't be written, before any test runs."""
    if os.path.isdir(path):
        raise ArgumentError(
            f"--gilx-json: expected the name of a file, got the directory {str(path)!r}"
        )
    # Missing directories are created when the run ends.
    place = path
    while not os.path.lexists(place.parent):
        place = place.parent
    try:
        check_writable(place)
    except (OSError, ValueError) as error:
        raise ArgumentError(cannot_write(path, error)) from None


def cannot_write(path: Path, error: Exception) -> str:
    """Return the message that the file of verdicts can't be written, and why."""
    why = getattr(error, "strerror", None) or error
    return f"--gilx-json: can't write {str(path)!r}: {why}"


def check_limits(**limits: Any) -> None:  # noqa: ANN401 - they are what is checked
    """Refuse limits that are out of range.

    Raises
    ------
    ArgumentError
        One of them is out of its range; the message names it.

    """
    for name, given in limits.items():
        if name == "workers":
            at_least(name, given, 2)
        elif name in ("at_least", "efficiency"):
            number_between(name, given, 0, 1, above=True)
        elif name == "at_most":
            from gilx.testing.longest_hold_verdict import check_limit  # noqa: PLC0415 - when used

            check_limit(given)
        elif given is None:
            continue  # the default of the check
        elif name == "budget":
            above_zero(name, given)
        else:
            at_least(name, given, 1)


class Checks:
    """Value of the fixture ``gil``: checks of calls, with the run's settings.

    Each method returns a `gilx.testing.Verdict` that passed. If the verdict is a failure,
    the test fails with the evidence. If it is inconclusive, the option
    ``--gilx-inconclusive`` decides: the test is skipped, or fails, or goes on with a
    warning and the verdict.
    """

    def __init__(
        self,
        settings: PluginOptions,
        keep: Callable[[str], None],
        warn: Callable[[Warning], None],
        guard: HangGuard | None = None,
    ) -> None:
        self._settings, self._keep, self._warn = settings, keep, warn
        self._guard = guard

    def releases(
        self,
        fn: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever fn takes
        at_least: float = 0.9,
        budget: float | None = None,
        setup: Callable[[], object] | None = None,
    ) -> Verdict:
        """Check that a call releases the GIL for at least a share of its time.

        Like `gilx.testing.assert_releases_gil`; `budget` is by default that of the run.
        """
        __tracebackhide__ = True
        from gilx.testing import judge_release  # noqa: PLC0415 - when a test asks

        limits = self._limits(budget)
        verdict = judge_release(fn, *args, at_least=at_least, setup=setup, **limits)
        return self._settle(_discount_tracer(verdict, fn, "fail"))

    def holds(
        self,
        fn: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever fn takes
        at_least: float = 0.9,
        budget: float | None = None,
        setup: Callable[[], object] | None = None,
    ) -> Verdict:
        """Check that a call holds the GIL for at least a share of its time.

        Like `gilx.testing.assert_holds_gil`; `budget` is by default that of the run.
        """
        __tracebackhide__ = True
        from gilx.testing import judge_hold  # noqa: PLC0415 - when a test asks

        limits = self._limits(budget)
        verdict = judge_hold(fn, *args, at_least=at_least, setup=setup, **limits)
        return self._settle(_discount_tracer(verdict, fn, "pass"))

    def longest_hold(
        self,
        fn: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever fn takes
        at_most: float = 0.05,
        budget: float | None = None,
        setup: Callable[[], object] | None = None,
    ) -> Verdict:
        """Check that a call never holds the GIL for longer than so many seconds.

        Like `gilx.testing.assert_longest_hold`; `budget` is by default that of the run. A
        tracer does not make holds longer: its Python code answers requests, too.
        """
        __tracebackhide__ = True
        from gilx.testing import judge_longest_hold  # noqa: PLC0415 - when a test asks

        limits = self._limits(budget)
        return self._settle(
            judge_longest_hold(fn, *args, at_most=at_most, setup=setup, **limits)
        )

    def scales(
        self,
        fn: Callable[..., object],
        *args: Any,  # noqa: ANN401 - whatever fn takes
        workers: int = 2,
        efficiency: float = 0.8,
        budget: float | None = None,
        setup: Callable[[], object] | None = None,
        limit_threads: int | None = None,
    ) -> Verdict:
        """Check that calls in several threads are as fast as this machine achieves.

        Like `gilx.testing.assert_scales`; `budget` is by default that of the run. Nothing
        is timed if timing would be worthless: under a tracer, or beside other tests.
        """
        __tracebackhide__ = True
        from gilx.testing import judge_scaling, not_scaled  # noqa: PLC0415 - likewise

        options: dict[str, Any] = {
            "workers": workers,
            "efficiency": efficiency,
            "setup": setup,
            "limit_threads": limit_threads,
            **self._limits(budget),
        }
        if why := self._no_timing():
            verdict = not_scaled(fn, *args, why=why, **options)
        else:
            guard = self._guard
            with nullcontext() if guard is None else guard.scaling():
                verdict = judge_scaling(fn, *args, **options)
        return self._settle(verdict)

    def judge_body(
        self,
        name: str,
        body: partial[object],
        limits_of_markers: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Judge a test's own body by all of its markers.

        An inconclusive check does not prevent the next one.
        """
        __tracebackhide__ = True
        vars(body)["__qualname__"] = name  # what verdicts call it
        check: dict[str, Callable[..., Verdict]] = {
            "releases_gil": self.releases,
            "longest_hold": self.longest_hold,
            "scales": self.scales,
        }
        skipped: BaseException | None = None
        for marker, limits in limits_of_markers.items():
            failure = None
            try:
                check[marker](body, **limits)
            except pytest.skip.Exception as skip:
                skipped = skipped or skip
            except AssertionError as error:
                if not hasattr(error, "verdict"):
                    raise  # the body's own
                failure = str(error)
            if failure is not None:
                pytest.fail(failure, pytrace=False)
        if skipped is not None:
            raise skipped

    def _limits(self, budget: float | None) -> dict[str, Any]:
        budget = self._settings.budget if budget is None else budget
        return {} if budget is None else {"budget": budget}

    def _no_timing(self) -> str:
        """Return the reason not to time anything now; empty if there is none."""
        if other_workers := self._settings.other_workers:
            others = f"{other_workers} other worker{'s' if other_workers > 1 else ''}"
            return (
                f"{others} of pytest-xdist run tests at the same time: run this test"
                " without -n, or use --gilx-under-xdist"
            )
        if tracer := tracing():
            return f"{tracer}, which makes timing worthless: run this test without it"
        return ""

    def _settle(self, verdict: Verdict) -> Verdict:
        __tracebackhide__ = True
        from gilx.testing import insist  # noqa: PLC0415 - when a test asks

        self._keep(verdict.to_json())
        if verdict.outcome != "inconclusive":
            return insist(verdict)
        words = f"gilx: {verdict.target}: inconclusive: {verdict.reason}"
        if self._settings.inconclusive == "skip":
            # Not `Inconclusive`, for which pytest would report this line as its origin.
            pytest.skip(words)
        if self._settings.inconclusive == "fail":
            pytest.fail(words, pytrace=False)
        self._warn(InconclusiveWarning(words))
        return verdict


def _discount_tracer(
    verdict: Verdict, fn: Callable[..., object], spoiled_outcome: str
) -> Verdict:
    """Return a verdict, made inconclusive if a tracer may have caused it.

    A tracer adds time with the GIL held to Python code only: it may make a release look
    like a hold, but not the other way round.
    """
    tracer = tracing() if verdict.outcome == spoiled_outcome and is_python(fn) else ""
    if not tracer:
        return verdict
    return replace(
        verdict,
        outcome="inconclusive",
        reason=f"{verdict.reason}; but {tracer}, which holds the GIL in Python code: run"
        " this test without it",
        advice="",
    )
