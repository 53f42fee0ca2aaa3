"""Failure of a run on a free-threaded build in which an import turns the GIL on."""

from __future__ import annotations

import sys
import sysconfig
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gilx._compat import gil_enabled
from gilx.errors import ArgumentError
from gilx.system import gil_imports
from gilx.system.gil_imports import ImportWatch, forced_gil, noted_imports, try_imports

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import FrameType

    from gilx.system.gil_imports import GilImport

__all__ = [
    "GilOffGuard",
    "GilOffSummary",
    "can_turn_on",
    "reason_against_check",
    "started_guard",
]

_NAME = "--gilx-gil-off"
_WORKER_OUTPUT = "gilx_gil_on"
_NO_TEST = "while no test ran"
_MOST_IMPORTERS = 8


def can_turn_on() -> bool:
    """Return whether an import can turn the GIL on here."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and not forced_gil()


def reason_against_check(*, is_given: bool) -> str:
    """Return the reason that the check has no effect: no import turns the GIL on.

    Parameters
    ----------
    is_given : bool
        Whether the command line asks for the check. A configuration file serves builds of
        all kinds, so its request may be without effect.

    Raises
    ------
    ArgumentError
        The GIL is on for the whole run, or the command line asks for a check without
        effect.

    """
    forced = forced_gil()
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        reason = "this build of Python always has the GIL"
        remedy = "use a free-threaded build, such as python3.14t"
    elif forced.endswith("1"):
        raise ArgumentError(f"{_NAME}: {forced} turns the GIL on: run without it")
    else:
        reason = f"{forced} keeps the GIL off, whatever is imported"
        remedy = "run without it"
    if is_given:
        raise ArgumentError(f"{_NAME}: {reason}: {remedy}")
    return reason


def started_guard() -> GilOffGuard:
    """Return a guard that watches imports from now on."""
    guard = GilOffGuard()
    guard.start()
    return guard


class GilOffGuard:
    """Plugin that fails the test or the collection in which the GIL is turned on.

    It runs where tests run: under pytest-xdist, in each worker.
    """

    def __init__(self) -> None:
        self.watch: ImportWatch = ImportWatch(self._note)
        self._place = "while plugins and conftest.py files were loaded"
        self._text = ""
        self._is_reported = False

    def start(self) -> None:
        """Watch imports from now on, and find out what was imported before."""
        if gil_enabled():
            cause = noted_imports[0] if noted_imports else _cause_among_loaded()
            self._text = _text("before gilx's plugin was loaded", cause, [])
        else:
            self.watch.start()

    def _note(self, cause: GilImport) -> None:
        self._text = _text(self._place, cause, _importers(sys._getframe()))  # noqa: SLF001 - documented

    @contextmanager
    def _at(self, place: str) -> Iterator[None]:
        before, self._place = self._place, place
        try:
            yield
        finally:
            self._place = before

    def _unreported(self) -> str:
        """Return the text to report now; empty if the GIL is off or it was reported."""
        # An import in another thread may have the GIL on for a moment.
        if not self._text and gil_enabled() and not self.watch.loading:
            self._text = _text(self._place, None, [])
        return "" if self._is_reported else self._text

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Fail the collection that turned the GIL on."""
        is_session = isinstance(collector, pytest.Session)
        earlier = self._unreported()  # belongs to the session
        place = "tests were" if is_session else f"{collector.nodeid} was"
        with self._at(f"while {place} collected"):
            report = yield
            text = self._unreported()
        if is_session:
            self._place = _NO_TEST
        if text and (is_session or not earlier):
            before = f"{report.longrepr}\n" if report.failed else ""
            report.outcome, report.longrepr = "failed", f"{before}{text}"
            self._mark(report, text)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item
    ) -> Generator[None, object, object]:
        """Note which test runs."""
        with self._at(f"while {item.nodeid} ran"):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail the test that turned the GIL on."""
        report = yield
        if text := self._unreported():
            known: Any = report.longrepr
            if report.failed and hasattr(known, "addsection"):
                known.addsection("gilx", text)
            elif report.failed:
                report.longrepr = f"{known}\n{text}"
            else:
                report.outcome, report.longrepr = "failed", _failure(item, text)
                vars(report).pop("wasxfail", None)
            self._mark(report, text)
        return report

    def _mark(self, report: pytest.TestReport | pytest.CollectReport, text: str) -> None:
        self._is_reported = True
        report.gilx_gil_on = text  # type: ignore[union-attr] # pytest keeps extras

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Hand on a text that came after the last report."""
        text = self._unreported()
        if not text:
            return
        self._is_reported = True
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_WORKER_OUTPUT] = text
        else:
            summary = session.config.pluginmanager.get_plugin(GilOffSummary.NAME)
            assert isinstance(summary, GilOffSummary)
            summary.add(text)


class GilOffSummary:
    """Plugin that reports at the end which import turned the GIL on, for all workers.

    Parameters
    ----------
    unchecked : str
        Reason that nothing is checked; empty if something is.

    """

    NAME = "gilx-gil-off-summary"

    def __init__(self, unchecked: str) -> None:
        self._unchecked = unchecked
        self._texts: list[str] = []

    def add(self, text: str) -> None:
        """Keep a text, each once."""
        if text and text not in self._texts:
            self._texts.append(text)

    def pytest_report_header(self) -> str:
        """Return the line that says whether imports are watched."""
        if self._unchecked:
            return f"gilx: gilx_gil_off has no effect: {self._unchecked}"
        return "gilx: the run fails if an import turns the GIL on"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the text of a test's report, if any."""
        self.add(getattr(report, "gilx_gil_on", ""))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep the text of the report of a collection, if any."""
        self.add(getattr(report, "gilx_gil_on", ""))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - of pytest-xdist
        """Keep the text of a worker of pytest-xdist from after its last test."""
        self.add(getattr(node, "workeroutput", {}).get(_WORKER_OUTPUT, ""))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(
        self, session: pytest.Session
    ) -> Generator[None, object, object]:
        """Fail the run, even if no report failed or a test was run again."""
        result = yield
        if self._texts and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the texts."""
        if self._texts:
            terminalreporter.section("gilx: the GIL was turned on", red=True, bold=True)
        for text in self._texts:
            for line in text.splitlines():
                terminalreporter.write_line(line)


def _text(place: str, cause: GilImport | None, importers: list[str]) -> str:
    module = "an extension module that is unknown" if cause is None else str(cause)
    first = (
        f"gilx: the GIL was turned on {place}, by the import of {module}, which does not"
        " declare that it can run without"
    )
    return "\n".join((first, *(f"  imported by {importer}" for importer in importers)))


def _importers(innermost: FrameType) -> list[str]:
    """Return where the import statements are that led to an import, innermost first."""
    importers: list[str] = []
    frame: FrameType | None = innermost
    importing = False
    while frame is not None and len(importers) < _MOST_IMPORTERS:
        file = frame.f_code.co_filename
        of_system = file.startswith("<frozen ") or file in (_IMPORTLIB, _WATCH)
        if importing and not of_system and "_pytest" not in Path(file).parts:
            importers.append(f"{file}, line {frame.f_lineno}")
        importing = of_system
        frame = frame.f_back
    return importers


_IMPORTLIB = sys.modules["importlib"].__file__
_WATCH = gil_imports.__file__


def _cause_among_loaded() -> GilImport | None:
    """Return the loaded extension module that turns the GIL on, if any."""
    names = [
        name
        for name, module in list(sys.modules.items())
        if isinstance(
            getattr(getattr(module, "__spec__", None), "loader", None),
            ExtensionFileLoader,
        )
    ]
    return try_imports(names).cause


def _failure(item: pytest.Item, text: str) -> Any:  # noqa: ANN401 - as pytest has it
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception:
        return item.repr_failure(pytest.ExceptionInfo.from_current())
