"""Options and markers of the plugin, declared the same way to every version of pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

__all__ = ["MARKERS", "OPTIONS", "declare_markers", "declare_options", "setting"]

MARKERS = {
    "releases_gil": (
        "releases_gil(at_least=0.9, budget=None): the test's body, called repeatedly,"
        " releases the GIL for at least this share of its time"
    ),
    "longest_hold": (
        "longest_hold(at_most=0.05, budget=None): the test's body, called repeatedly,"
        " never holds the GIL for longer than so many seconds"
    ),
    "scales": (
        "scales(workers=2, efficiency=0.8, budget=None, limit_threads=None): the test's"
        " body, called repeatedly by several threads, is as fast as this machine"
        " achieves"
    ),
}
OPTIONS = ("budget", "gil_off", "hang", "inconclusive", "json", "under_xdist")
_WITH_TEXT = {
    "budget": ("SECONDS", "seconds that one verdict may take (default: the check's own)"),
    "hang": (
        "SECONDS",
        (
            "end the run with status 70 if a thread does not release the GIL, or does not"
            " stop, for so long"
        ),
    ),
    "inconclusive": (
        "skip|fail|warn",
        "outcome of a test whose verdict is inconclusive (default: skip)",
    ),
    "json": ("FILE", "write all verdicts with their evidence"),
}
_SWITCHES = {
    "gil_off": "fail if an import turns the GIL on, on a free-threaded build of Python",
    "under_xdist": (
        "check scaling under pytest-xdist, too, where other tests run at the same time"
    ),
}


def declare_options(parser: pytest.Parser) -> None:
    """Declare the options, each of them a setting in a configuration file, too."""
    group = parser.getgroup("gilx", "does compiled code run in parallel (gilx)")
    for name, (metavar, words) in _WITH_TEXT.items():
        group.addoption(f"--gilx-{name}", metavar=metavar, default=None, help=words)
        parser.addini(f"gilx_{name}", words, default=None)
    for name, words in _SWITCHES.items():
        option = f"--gilx-{name.replace('_', '-')}"
        group.addoption(option, action="store_true", default=None, help=words)
        parser.addini(f"gilx_{name}", words, type="bool", default=False)


def declare_markers(config: pytest.Config) -> None:
    """Declare the markers, which ``--strict-markers`` asks for."""
    for words in MARKERS.values():
        config.addinivalue_line("markers", words)


def setting(config: pytest.Config, name: str) -> Any:  # noqa: ANN401 - text or a switch
    """Return an option's value, or that in the configuration file if it is not given."""
    value = config.getoption(f"gilx_{name}")
    return config.getini(f"gilx_{name}") if value is None else value
