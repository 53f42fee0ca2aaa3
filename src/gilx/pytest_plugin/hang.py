"""End of a run of pytest in which a test does not release the GIL.

Without a GIL, it is one in which a thread does not stop when all threads have to.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError
from gilx.pytest_plugin.checks import cannot_write
from gilx.pytest_plugin.junit_results import JUnitResults
from gilx.pytest_plugin.summary import save
from gilx.sampling.monitor import Monitor
from gilx.system.gil_imports import ImportWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HangGuard", "reason_of_end"]

_COST = 0.002  # share of one CPU: a hang is found a little later
_STANDARD_ERROR = 2
_MOST_FAILURES = 40  # that fit into a monitor's note
_LONGEST_REASON = 100  # characters
_DEADLOCK = (
    "gilx: the threads of this scaling check deadlocked: one holds the GIL and waits for"
    " another lock, and others wait for the GIL\n"
)
_DEADLOCK_WITHOUT_GIL = (
    "gilx: the threads of this scaling check deadlocked: one waits for a lock without"
    " releasing the interpreter, and others wait until it stops\n"
)


def _reason(seconds: float) -> str:
    """Return why a process is ended."""
    if gil_enabled():
        return f"the GIL was not released for {seconds:g} s"
    return f"a stop of all threads did not begin or end for {seconds:g} s"


def reason_of_end(seconds: float) -> str:
    """Return why a process may have ended, as the end of a sentence."""
    return (
        f"if its status was 70, gilx ended it, since {_reason(seconds)}, and standard"
        " error has the stacks"
    )


class HangGuard:
    """Plugin that ends the process when the GIL has not been released for some time.

    Without a GIL, it is a stop of all threads that has not begun or ended; the monitor
    itself asks for one now and then. If an import turns the GIL on, it is the GIL from
    then on.

    By then no Python code can run. So the text for the end is made beforehand, at each
    test: the monitor writes it after the stacks.

    Parameters
    ----------
    seconds : float
        Time without a release of the GIL, or without the stop or its end.
    collecting : str, optional
        In a worker of pytest-xdist, the file in which what it collects is named.

    """

    def __init__(self, seconds: float, collecting: str | None = None) -> None:
        self._seconds, self._collecting = seconds, collecting or ""
        self._is_worker = collecting is not None
        self._log: int | None = None  # a copy of what pytest replaces while a test runs
        self._monitor = self._new_monitor()
        self._imports = ImportWatch(self._follow_gil)
        self._follows = False  # imports may turn the GIL on
        self._unavailable = ""
        self._now = "tests were collected"
        self._test = ""
        self._outcomes: Counter[str] = Counter()
        self._failures: list[str] = []
        self._scaling = False
        self._results: JUnitResults | None = None
        self._results_file = ""
        self._verdicts_file: Path | None = None
        self._verdicts: list[tuple[str, str]] = []
        self._problems: list[str] = []
        self._process = os.getpid()

    def start(self) -> None:
        """Start the monitor, if the GIL can be watched here."""
        self._note()
        try:
            self._monitor.start()
        except WatchUnavailableError as error:
            self._unavailable = str(error)
            return
        self._follows = not gil_enabled()
        if self._follows:
            self._log = os.dup(_STANDARD_ERROR)
            self._imports.start()

    def _new_monitor(self) -> Monitor:
        return Monitor(self._seconds, _COST, lone=True, log=self._log, on_stall="exit")

    def _follow_gil(self, *_: object) -> None:
        """Watch the GIL from now on, since an import has turned it on.

        The thread that asks for stops of the world would wait for the GIL.
        """
        if not self._follows:
            return
        self._follows = False
        self._imports.stop()
        before, self._monitor = self._monitor, self._new_monitor()
        before.stop()
        self._note()
        try:
            self._monitor.start()
        except WatchUnavailableError as error:
            self._unavailable = str(error)
            words = (
                "gilx: --gilx-hang finds no hangs from now on, since the GIL was turned"
                f" on: {error}"
            )
            try:
                warnings.warn(words, pytest.PytestWarning, stacklevel=1)
            except pytest.PytestWarning:  # an import runs now, and must not end by it
                os.write(self._log or _STANDARD_ERROR, f"{words}\n".encode())

    def keep_results(self, path: str, suite: str, prefix: str) -> None:
        """Keep results in the file of ``--junitxml``, which pytest writes at the end.

        Nothing is kept in a pipe or a device, which can't be written again.

        Raises
        ------
        OSError
            It can't be written.

        """
        fits = not os.path.exists(path) or os.path.isfile(path)
        if fits and not self._unavailable:
            self._results_file = path
            reason = reason_of_end(self._seconds)
            self._results = JUnitResults(path, suite, prefix, reason)

    def keep_verdicts(self, path: Path) -> None:
        """Keep verdicts in the file of ``--gilx-json``, which is complete at the end."""
        if not self._unavailable and (not path.exists() or path.is_file()):
            self._verdicts_file = path
            self._save_verdicts()

    def _save_verdicts(self) -> None:
        if self._verdicts_file is None or self._is_child:
            return
        try:
            save(self._verdicts_file, self._verdicts, complete=False)
        except (OSError, ValueError) as error:
            self._problems.append(cannot_write(self._verdicts_file, error))
            self._verdicts_file = None

    @property
    def _is_child(self) -> bool:
        """True if this process was forked from that of the run."""
        return os.getpid() != self._process

    def pytest_report_header(self) -> str:
        """Return the line that says whether hangs are found."""
        if self._unavailable:
            return f"gilx: --gilx-hang finds no hangs here: {self._unavailable}"
        if gil_enabled():
            return (
                f"gilx: the run ends when the GIL is not released for {self._seconds:g} s"
            )
        return (
            "gilx: the run ends when a stop of all threads does not begin or end for"
            f" {self._seconds:g} s"
        )

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Name what is collected: modules are imported then."""
        if not collector.nodeid:
            return
        self._now = f"{collector.nodeid} was collected"
        if self._collecting:
            with suppress(OSError):  # a worker on another machine has no such directory
                Path(self._collecting).write_text(collector.nodeid, "utf-8", "replace")
        self._keep("begin", "", self._now)
        self._note()

    def pytest_collection_finish(self) -> None:
        """Note that no test runs."""
        self._note_pause()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the test that runs."""
        self._test = nodeid
        self._keep("begin", nodeid, "this test ran")
        self._note()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a result."""
        self._keep("add", report)
        if verdicts := getattr(report, "gilx", ()):
            self._verdicts += [(report.nodeid, one) for one in verdicts]
            self._save_verdicts()
        if report.when == "call" or report.outcome != "passed":
            self._outcomes[report.outcome] += 1
        if report.failed and len(self._failures) < _MOST_FAILURES:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = str(getattr(crash, "message", "")).partition("\n")[0]
            words = f" - {reason[:_LONGEST_REASON]}" if reason else ""
            self._failures.append(f"FAILED {report.nodeid}{words}")

    @contextmanager
    def scaling(self) -> Iterator[None]:
        """Note that calls of a check of scaling run in several threads."""
        self._scaling = True
        self._note()
        try:
            yield
        finally:
            self._scaling = False
            self._note()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note that no test runs."""
        self._keep("end", nodeid)
        self._note_pause()

    def _note_pause(self) -> None:
        self._test = ""
        self._now = "no test ran"
        self._keep("begin", "", self._now)
        self._note()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the files of results to those who write them now."""
        self._keep("close")
        self._results = self._verdicts_file = None

    def pytest_unconfigure(self) -> None:
        """Stop the monitor."""
        self._follows = False
        self._imports.stop()
        self._monitor.stop()
        if self._log is not None:
            os.close(self._log)
            self._log = None

    def _keep(self, change: str, *args: Any) -> None:  # noqa: ANN401 - the change's own
        """Change the file of results; if that fails, the end of the run says so."""
        if self._results is not None and not self._is_child:
            try:
                getattr(self._results, change)(*args)
            except OSError as error:
                place = f"{self._results_file}: {error.strerror or error}"
                self._problems.append(f"--junitxml: can't write {place}")
                self._results = None

    def _note(self) -> None:
        """Make the text for the end anew."""
        # Not every import is noticed, and an import has the GIL on for a moment.
        if self._follows and gil_enabled() and not self._imports.loading:
            self._follow_gil()
        in_child = f"{self._line_of_child()}\n"
        if self._is_child:
            self._monitor.note(in_child)
            return
        text = "".join(f"{line}\n" for line in self._lines())
        words = _DEADLOCK if gil_enabled() else _DEADLOCK_WITHOUT_GIL
        deadlock = words if self._scaling else ""
        self._monitor.note(text, deadlock=deadlock, in_child=in_child)

    def _line_of_child(self) -> str:
        what = f"{self._test} ran" if self._test else self._now
        return (
            f"gilx: this process ends with status 70: it was forked while {what}, from"
            f" process {self._process}, which goes on"
        )

    def _lines(self) -> Iterator[str]:
        outcomes = self._outcomes.copy()
        reason = f"gilx: {_reason(self._seconds)}"
        if self._test:
            outcomes["failed"] += 1
            yield f"FAILED {self._test} - {reason}"
        else:
            yield f"{reason} while {self._now}"
        yield from self._failures
        for problem in self._problems:
            yield f"gilx: results could not be kept: {problem}"
        counts = ", ".join(
            f"{outcomes[name]} {name}"
            for name in ("failed", "passed", "skipped")
            if outcomes[name]
        )
        what = "this worker" if self._is_worker else "the run"
        yield f"gilx: {what} ends with status 70{f': {counts}' if counts else ''}"
