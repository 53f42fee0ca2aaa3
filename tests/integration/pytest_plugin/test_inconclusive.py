"""Inconclusive verdicts under the plugin."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import run

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


@pytest.mark.usefixtures("made_up")
def test_what_is_inconclusive_hides_nothing(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import pytest

        said = iter(["inconclusive", "fail", "inconclusive", "pass", "pass", "inconclusive"])

        @pytest.mark.releases_gil
        @pytest.mark.scales
        @pytest.mark.parametrize("number", range(3))
        def test_both(number):
            return next(said)
        """,
    )
    done.assert_outcomes(failed=1, skipped=2)
    done.stdout.fnmatch_lines(["*= gilx: 1 failed, 3 inconclusive, 2 passed =*"])
