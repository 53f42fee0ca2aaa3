"""Inconclusive verdicts under the plugin."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import FIXTURE, MARKERS, run

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("text", [FIXTURE, MARKERS], ids=["fixture", "markers"])
def test_what_is_inconclusive(pytester: pytest.Pytester, text: str) -> None:
    text = text.format(outcome="inconclusive")
    count = text.count("def test_") + text.count("parametrize")
    done = run(pytester, text, "-rs")
    done.assert_outcomes(skipped=count)
    # The line is the test's.
    line = 5 if "def f(" in text else 7
    done.stdout.re_match_lines(
        [
            rf"SKIPPED \[1\] test_what_is_inconclusive.py:{line}: gilx: .+: inconclusive: .+"
        ]
    )
    done = pytester.runpytest("--gilx-inconclusive=skip")
    done.assert_outcomes(skipped=count)

    done = pytester.runpytest("--gilx-inconclusive=fail")
    done.assert_outcomes(failed=count)
    done.stdout.fnmatch_lines(["gilx: *: inconclusive: so it was asked for (*"])

    done = pytester.runpytest("--gilx-inconclusive=warn", "-Wdefault")
    verdicts = count + text.count("releases_gil(")  # one test has both markers
    done.assert_outcomes(passed=count)
    assert str(done.stdout).count("InconclusiveWarning: gilx: ") == verdicts
    done.stdout.fnmatch_lines(["*InconclusiveWarning: gilx: *: inconclusive: so it *"])
    done.stdout.fnmatch_lines([f"*= gilx: {verdicts} inconclusive =*"])


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
