"""Plugin for a pytest that is older than gilx supports; it checks nothing.

A test that asks for a check is skipped, because it would pass unchecked, or fails if
``--gilx-inconclusive=fail`` asks for that. A run that uses gilx says why, once. All other
runs are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gilx.pytest_plugin.declarations import MARKERS, OPTIONS, setting
from gilx.pytest_plugin.declarations import declare_markers as pytest_configure
from gilx.pytest_plugin.declarations import declare_options as pytest_addoption

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "gil",
    "pytest_addoption",
    "pytest_configure",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
]

_REASON = f"gilx needs pytest 8.0 or newer, and this is pytest {pytest.__version__}"


@pytest.fixture
def gil(request: pytest.FixtureRequest) -> NoReturn:
    """Check what a call does with the GIL; not with this version of pytest."""
    _refuse(request.config)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse tests with a marker of ours."""
    if any(item.get_closest_marker(name) for name in MARKERS):
        _refuse(item.config)


def _refuse(config: pytest.Config) -> NoReturn:
    if setting(config, "inconclusive") == "fail":
        pytest.fail(_REASON, pytrace=False)
    pytest.skip(_REASON)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why nothing was checked, if anything was to be."""
    # Reports come from the workers of pytest-xdist, too.
    refused = [
        report
        for outcome in ("skipped", "error")
        for report in terminalreporter.stats.get(outcome, ())
        if _REASON in str(report.longrepr)
    ]
    config = terminalreporter.config
    # pytest 7 takes a default of None for an empty text.
    given = [name for name in OPTIONS if setting(config, name) not in (None, False, "")]
    if refused or given:
        terminalreporter.section("gilx: nothing was checked")
        terminalreporter.write_line(f"{_REASON}.")
