"""Inconclusive verdicts under the plugin."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import FIXTURE, MARKERS, run

pytest_plugins = ["pytester"]


pytestmark = [
    pytest.mark.any_python,
    pytest.mark.thread_unsafe(reason="pytest runs in this process, too"),
]


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


NOTHING_CHECKED = "gilx: nothing was checked: all 3 verdicts are inconclusive"
ADVICE = "--gilx-inconclusive=fail makes such tests fail."


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("options", [("-q",), ("--gilx-inconclusive=warn", "-Wdefault")])
def test_run_without_a_conclusive_verdict_says_so_in_red(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    text = FIXTURE.format(outcome="inconclusive")
    done = run(pytester, text, "--color=yes", *options)
    assert done.ret == pytest.ExitCode.OK
    done.stdout.fnmatch_lines([f"\x1b[[]31m\x1b[[]1m*= {NOTHING_CHECKED} =*", ADVICE])
    assert str(done.stdout).count("nothing was checked") == 1


@pytest.mark.usefixtures("made_up")
def test_run_whose_only_verdict_is_inconclusive_says_so(
    pytester: pytest.Pytester,
) -> None:
    done = run(pytester, MARKERS.format(outcome="inconclusive"), "-k", "test_releases")
    done.assert_outcomes(skipped=1, deselected=3)
    done.stdout.fnmatch_lines(
        ["*= gilx: nothing was checked: the only verdict is inconclusive =*", ADVICE]
    )


@pytest.mark.usefixtures("made_up")
def test_run_that_fails_for_inconclusive_verdicts_gives_no_advice(
    pytester: pytest.Pytester,
) -> None:
    text = FIXTURE.format(outcome="inconclusive")
    done = run(pytester, text, "--gilx-inconclusive=fail")
    done.assert_outcomes(failed=3)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines([f"*= {NOTHING_CHECKED} =*"])
    done.stdout.no_fnmatch_line(ADVICE)


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("outcome", ["pass", "fail"])
def test_run_with_a_conclusive_verdict_has_no_warning(
    pytester: pytest.Pytester, outcome: str
) -> None:
    text = FIXTURE.format(outcome="inconclusive")
    text += f"""
    def test_conclusive(gil):
        gil.releases(f, {outcome!r})
    """
    done = run(pytester, text)
    done.assert_outcomes(skipped=3, **{f"{outcome}ed": 1})
    done.stdout.no_fnmatch_line("*nothing was checked*")


def test_run_without_verdicts_has_no_warning(pytester: pytest.Pytester) -> None:
    # A test that is skipped for another reason was not to be checked.
    text = "import pytest\ndef test_it(gil): pytest.skip('not here')\n"
    done = run(pytester, text)
    done.assert_outcomes(skipped=1)
    done.stdout.no_fnmatch_line("*gilx:*")
