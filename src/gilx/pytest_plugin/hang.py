"""End of a run of pytest in which a test does not release the GIL."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gilx.errors import WatchUnavailableError
from gilx.sampling.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

__all__ = ["HangGuard"]

_COST = 0.002  # share of one CPU: a hang is found a little later
_MOST_FAILURES = 40  # that fit into a monitor's note
_LONGEST_REASON = 100  # characters


class HangGuard:
    """Plugin that ends the process when the GIL has not been released for some time.

    By then no Python code can run. So the text for the end is made beforehand, at each
    test: the monitor of the GIL writes it after the stacks.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._monitor = Monitor(seconds, _COST, lone=True, on_stall="exit")
        self._unavailable = ""
        self._now = "tests were collected"
        self._test = ""
        self._outcomes: Counter[str] = Counter()
        self._failures: list[str] = []

    def start(self) -> None:
        """Start the monitor, if the GIL can be watched here."""
        self._monitor.note(self._note())
        try:
            self._monitor.start()
        except WatchUnavailableError as error:
            self._unavailable = str(error)

    def pytest_report_header(self) -> str:
        """Return the line that says whether hangs are found."""
        if self._unavailable:
            return f"gilx: --gilx-hang finds no hangs here: {self._unavailable}"
        return f"gilx: ends when the GIL is not released for {self._seconds:g} s"

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the test that runs."""
        self._test = nodeid
        self._monitor.note(self._note())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a result."""
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[report.outcome] += 1
        if report.failed and len(self._failures) < _MOST_FAILURES:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = str(getattr(crash, "message", "")).partition("\n")[0]
            words = f" - {reason[:_LONGEST_REASON]}" if reason else ""
            self._failures.append(f"FAILED {report.nodeid}{words}")

    def pytest_runtest_logfinish(self) -> None:
        """Note that no test runs."""
        self._test = ""
        self._now = "no test ran"
        self._monitor.note(self._note())

    def pytest_unconfigure(self) -> None:
        """Stop the monitor."""
        self._monitor.stop()

    def _note(self) -> str:
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        outcomes = self._outcomes.copy()
        reason = f"gilx: the GIL was not released for {self._seconds:g} s"
        if self._test:
            outcomes["failed"] += 1
            yield f"FAILED {self._test} - {reason}"
        else:
            yield f"{reason} while {self._now}"
        yield from self._failures
        counts = ", ".join(
            f"{outcomes[name]} {name}"
            for name in ("failed", "passed", "skipped")
            if outcomes[name]
        )
        yield f"gilx: the run ends with status 70{f': {counts}' if counts else ''}"
