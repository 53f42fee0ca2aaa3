"""Modules that the plugin loads."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


def test_nothing_is_loaded_until_a_test_asks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other plugins load what they like.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            loaded = {
                name for name in sys.modules
                if name == "numpy" or name.startswith("gilx.")
            }
            assert loaded == {
                "gilx.pytest_plugin",
                "gilx.pytest_plugin.declarations",
                "gilx.pytest_plugin.hooks",
            }
        """
    )
    done = pytester.runpytest_subprocess("-p", "gilx.pytest_plugin")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*= gilx:*")
    assert "gilx" not in "".join(done.errlines)
