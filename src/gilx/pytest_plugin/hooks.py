"""Hooks of the plugin for versions of pytest that are new enough.

They load the rest of the plugin when a test asks for it.
"""

from __future__ import annotations

import inspect
import unittest
from typing import TYPE_CHECKING, Any

import pytest

from gilx.pytest_plugin.declarations import (
    MARKERS,
    OPTIONS,
    declare_markers,
    setting,
)
from gilx.pytest_plugin.declarations import declare_options as pytest_addoption

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from gilx.pytest_plugin.checks import Checks, PluginOptions
    from gilx.pytest_plugin.gil_off import GilOffGuard

__all__ = [
    "gil",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_pycollect_makeitem",
    "pytest_pyfunc_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_sessionstart",
]

# Keywords of each marker, whose values `check_limits` checks.
_KEYWORDS = {
    "releases_gil": ("at_least", "budget"),
    "longest_hold": ("at_most", "budget"),
    "scales": ("workers", "efficiency", "budget", "limit_threads"),
}

_settings = pytest.StashKey["PluginOptions"]()
_new_verdicts = pytest.StashKey[list[str]]()  # of an item: verdicts not yet in a report
_all_verdicts = pytest.StashKey[list[tuple[str, str]]]()  # of the run, with the tests
_gil_off_guard = pytest.StashKey["GilOffGuard"]()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Watch imports before conftest files are loaded, if an option asks for it."""
    given = getattr(early_config.known_args_namespace, "gilx_gil_off", None)
    if not (given or early_config.getini("gilx_gil_off")):
        return
    from gilx.pytest_plugin.gil_off import can_turn_on, started_guard  # noqa: PLC0415 - only when it is used

    if can_turn_on():
        guard: GilOffGuard = started_guard()
        early_config.stash[_gil_off_guard] = guard
        early_config.add_cleanup(guard.watch.stop)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and check the settings."""
    declare_markers(config)
    config.stash[_all_verdicts] = []
    if any(setting(config, name) not in (None, False) for name in OPTIONS):
        _settings_of(config)
    if setting(config, "gil_off"):
        _check_gil_off(config)


def _check_gil_off(config: pytest.Config) -> None:
    from gilx.errors import ArgumentError  # noqa: PLC0415 - only when it is used
    from gilx.pytest_plugin.gil_off import (  # noqa: PLC0415 - likewise
        GilOffSummary,
        can_turn_on,
        reason_against_check,
    )

    is_given = bool(config.getoption("gilx_gil_off"))
    try:
        unchecked = "" if can_turn_on() else reason_against_check(is_given=is_given)
    except ArgumentError as error:
        raise pytest.UsageError(f"gilx: {error}") from None
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(GilOffSummary(unchecked), GilOffSummary.NAME)


def _settings_of(config: pytest.Config) -> PluginOptions:
    if _settings not in config.stash:
        from gilx.errors import ArgumentError  # noqa: PLC0415 - only when it is used
        from gilx.pytest_plugin.checks import PluginOptions  # noqa: PLC0415 - likewise

        workers: dict[str, Any] = getattr(config, "workerinput", {})
        try:
            config.stash[_settings] = PluginOptions.checked(
                budget=setting(config, "budget"),
                hang=setting(config, "hang"),
                inconclusive=setting(config, "inconclusive"),
                # Workers of pytest-xdist write no file.
                json=None if workers else setting(config, "json"),
                directory=config.invocation_params.dir,
                other_workers=0
                if setting(config, "under_xdist")
                else int(workers.get("workercount", 1)) - 1,
            )
        except ArgumentError as error:
            raise pytest.UsageError(f"gilx: {error}") from None
    return config.stash[_settings]


@pytest.fixture
def gil(request: pytest.FixtureRequest) -> Checks:
    """Check what a call does with the GIL: ``gil.releases(fn, *args)``.

    ``gil.holds``, ``gil.longest_hold`` and ``gil.scales`` are like it; all return a
    `gilx.testing.Verdict`.
    """
    return _checks(request.node)


def _checks(item: pytest.Item) -> Checks:
    from gilx.pytest_plugin.checks import Checks  # noqa: PLC0415 - only when it is used

    settings = _settings_of(item.config)
    guard = item.config.pluginmanager.get_plugin("gilx-hang")
    return Checks(
        settings, item.stash.setdefault(_new_verdicts, []).append, item.warn, guard
    )


def _marks_of(item: pytest.Item) -> dict[str, pytest.Mark]:
    """Return gilx's markers of a test, by name."""
    marks = {name: item.get_closest_marker(name) for name in MARKERS}
    return {name: mark for name, mark in marks.items() if mark is not None}


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class,
) -> Generator[None, Any, Any]:
    """Refuse markers with wrong arguments, or on functions that can't be checked."""
    items = yield
    # Versions of pytest before 8.4 make one item of a generator.
    for item in items if isinstance(items, list) else [items]:
        if isinstance(item, pytest.Function) and (marks := _marks_of(item)):
            wrong = _wrong(item, marks)
            if wrong:
                raise collector.CollectError(f"gilx: {item.name}: {wrong}")
    return items


def _wrong(item: pytest.Function, marks: dict[str, pytest.Mark]) -> str:
    """Return what is wrong with a test's markers; empty if nothing is."""
    from gilx.callable_lookup import check_call  # noqa: PLC0415 - only when it is used
    from gilx.errors import ArgumentError  # noqa: PLC0415 - only when it is used
    from gilx.pytest_plugin.checks import check_limits  # noqa: PLC0415 - likewise

    for name, mark in marks.items():
        known = ", ".join(_KEYWORDS[name])
        if mark.args:
            return f"{name}: expected keywords ({known}), got {mark.args[0]!r}"
        for key in mark.kwargs:
            if key not in _KEYWORDS[name]:
                return f"{name}: expected keywords among {known}; got {key!r}"
        try:
            check_limits(**mark.kwargs)
        except ArgumentError as error:
            return f"{name}: {error}"
        try:
            check_call(item.function, name)
        except ArgumentError as error:
            return str(error)
        if "benchmark" in item.fixturenames:
            return (
                f"{name}: expected no fixture 'benchmark', which can't be used more than"
                " once, and the body is called repeatedly"
            )
    return ""


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep pytest-run-parallel from running several of our checks at once."""
    if not hasattr(config.option, "parallel_threads"):
        return
    unsafe = pytest.mark.thread_unsafe(reason="gilx watches or times it")
    for item in items:
        if "gil" in getattr(item, "fixturenames", ()) or _marks_of(item):
            item.add_marker(unsafe)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse tests without a `pytest_pyfunc_call`, which would pass unchecked."""
    marks = _marks_of(item)
    of_unittest = isinstance(item, pytest.Function) and (
        item.cls is not None and issubclass(item.cls, unittest.TestCase)
    )
    if marks and (of_unittest or not isinstance(item, pytest.Function)):
        pytest.fail(
            f"gilx: {next(iter(marks))}: expected a test function of pytest's; in a"
            " unittest.TestCase or elsewhere call gilx.testing's functions",
            pytrace=False,
        )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Judge the body of a test that has a marker of ours, instead of calling it once."""
    marks = _marks_of(pyfuncitem)
    if not marks:
        return None
    from functools import partial  # noqa: PLC0415 - only when it is used

    # pytest may have filled more fixtures than the function takes.
    takes = inspect.signature(pyfuncitem.function).parameters
    values = {name: value for name, value in pyfuncitem.funcargs.items() if name in takes}
    _checks(pyfuncitem).judge_body(
        pyfuncitem.name,
        partial(_body(pyfuncitem), **values),
        {name: dict(mark.kwargs) for name, mark in marks.items()},
    )
    return True


def _body(item: pytest.Function) -> Callable[..., object]:
    """Return a test's function as it was written.

    Plugins replace it (pytest-run-parallel by one that starts threads and waits for
    them), and the replacement would be judged instead.
    """
    owner = item.module if item.cls is None else item.instance
    body: Callable[..., object] = getattr(owner, item.originalname, item.obj)
    return body


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the verdicts into the report, which xdist's workers send on, too."""
    report = yield
    verdicts = item.stash.get(_new_verdicts, None)
    if verdicts:
        report.gilx = verdicts[:]  # type: ignore[attr-defined] # pytest keeps extras
        verdicts.clear()
        if report.skipped and isinstance(report.longrepr, tuple) and _marks_of(item):
            # Show the test's line, not that of the code that judged it.
            path, line, _ = item.location
            report.longrepr = (path, (line or 0) + 1, report.longrepr[2])
    return report


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect verdicts in the process where all reports arrive; guard the tests."""
    config = session.config
    worker = hasattr(config, "workerinput")
    if not worker:
        config.pluginmanager.register(_Listener(config), "gilx-listener")
    # With pytest-xdist, tests run in its workers.
    runs_tests = worker or not config.pluginmanager.hasplugin("dsession")
    if setting(config, "hang") is not None:
        if runs_tests:
            _guard(config)
        else:
            _guard_workers(session)
    if _gil_off_guard in config.stash:
        guard = config.stash[_gil_off_guard]
        if runs_tests:
            config.pluginmanager.register(guard, "gilx-gil-off")
        else:
            guard.watch.stop()


def _guard(config: pytest.Config) -> None:
    from gilx.errors import ArgumentError  # noqa: PLC0415 - only when it is used
    from gilx.pytest_plugin.hang import HangGuard  # noqa: PLC0415 - likewise
    from gilx.pytest_plugin.worker_hangs import COLLECTING  # noqa: PLC0415 - likewise

    seconds = _settings_of(config).hang
    assert seconds is not None
    worker = getattr(config, "workerinput", None)
    collecting = None if worker is None else worker.get(COLLECTING, "")
    guard = HangGuard(seconds, collecting)
    try:
        guard.start()
    except ArgumentError as error:
        raise pytest.UsageError(f"gilx: --gilx-hang: {error}") from None
    # Workers of pytest-xdist write no results, and `-p no:junitxml` has no such option.
    path = getattr(config.option, "xmlpath", None)
    if path and worker is None:
        try:
            suite, prefix = config.getini("junit_suite_name"), config.option.junitprefix
            guard.keep_results(path, suite, prefix or "")
        except OSError as error:
            raise pytest.UsageError(
                f"gilx: --gilx-hang: can't write {path!r}: {error.strerror}"
            ) from None
    name = setting(config, "json")
    if name and worker is None:
        guard.keep_verdicts(config.invocation_params.dir / name)
    config.pluginmanager.register(guard, "gilx-hang")


def _guard_workers(session: pytest.Session) -> None:
    from gilx.pytest_plugin.hang import reason_of_end  # noqa: PLC0415 - when it is used
    from gilx.pytest_plugin.worker_hangs import WorkerHangs  # noqa: PLC0415 - likewise

    seconds = _settings_of(session.config).hang
    assert seconds is not None
    plugin = WorkerHangs(session, reason_of_end(seconds))
    session.config.pluginmanager.register(plugin, "gilx-worker-hangs")


class _Listener:
    """Plugin that keeps the verdicts of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._problem = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep a test's verdicts."""
        for verdict in getattr(report, "gilx", ()):
            self._config.stash[_all_verdicts].append((report.nodeid, verdict))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the verdicts, if an option asks for it.

        If writing fails, the report of the run stays, and the exit status is not 0.
        """
        if name := setting(self._config, "json"):
            from gilx.pytest_plugin.checks import cannot_write  # noqa: PLC0415 - when used
            from gilx.pytest_plugin.summary import save  # noqa: PLC0415 - likewise

            path = self._config.invocation_params.dir / name
            verdicts = self._config.stash[_all_verdicts]
            try:
                save(path, verdicts, complete=True)
            except (OSError, ValueError) as error:
                self._problem = cannot_write(path, error)
                if session.exitstatus in (
                    pytest.ExitCode.OK,
                    pytest.ExitCode.NO_TESTS_COLLECTED,
                ):
                    session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the verdicts."""
        if verdicts := self._config.stash[_all_verdicts]:
            from gilx.pytest_plugin.summary import show  # noqa: PLC0415 - likewise

            show(terminalreporter, verdicts)
        if self._problem:
            from gilx.pytest_plugin.summary import show_unwritten  # noqa: PLC0415 - likewise

            show_unwritten(terminalreporter, self._problem)
