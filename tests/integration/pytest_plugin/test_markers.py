"""The plugin's markers."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import MARKERS, run

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


@pytest.mark.usefixtures("made_up")
def test_what_passes_by_markers(pytester: pytest.Pytester) -> None:
    done = run(pytester, MARKERS.format(outcome="pass"))
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(
        [
            "*= gilx: 5 passed =*",
            "pass: *::test_releases (releases_gil, *)",
            "    test_releases: so it was asked for (at_least=0.9)",
            "pass: *::TestMarked::test_scales[[]1[]] (scales, *)",
            "    test_scales[[]1[]]: so it was asked for (budget=2, *, workers=3)",
            "pass: *::TestMarked::test_scales[[]2[]] (scales, *)",
            "pass: *::TestMarked::test_both (releases_gil, *)",
            "    test_both: so it was asked for (at_least=0.4)",
            "pass: *::TestMarked::test_both (scales, *)",
            "    test_both: so it was asked for (efficiency=0.5, workers=2)",
        ]
    )


@pytest.mark.usefixtures("made_up")
def test_what_fails_by_markers(pytester: pytest.Pytester) -> None:
    done = run(pytester, MARKERS.format(outcome="fail"))
    done.assert_outcomes(failed=4)
    done.stdout.fnmatch_lines(
        [
            "*_ test_releases _*",
            "gilx: test_releases: fail: so it was asked for (at_least=0.9)",
            "*= gilx: 4 failed =*",
        ]
    )
    done.stdout.no_fnmatch_line("*During handling*")


LONGEST = """
    import pytest

    @pytest.mark.longest_hold
    def test_default():
        return {outcome!r}

    @pytest.mark.longest_hold(at_most=0.5, budget=2)
    @pytest.mark.releases_gil
    def test_both():
        return {outcome!r}
"""


@pytest.mark.usefixtures("made_up")
def test_markers_of_longest_holds(pytester: pytest.Pytester) -> None:
    done = run(pytester, LONGEST.format(outcome="pass"), "--strict-markers")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(
        [
            "*= gilx: 3 passed =*",
            "pass: *::test_default (longest_hold, *)",
            "    test_default: so it was asked for (at_most=0.05)",
            "pass: *::test_both (releases_gil, *)",
            "pass: *::test_both (longest_hold, *)",
            "    test_both: so it was asked for (at_most=0.5, budget=2)",
        ]
    )
    done = run(pytester, LONGEST.format(outcome="fail"))
    done.assert_outcomes(failed=2)
    done = run(pytester, LONGEST.format(outcome="inconclusive"))
    done.assert_outcomes(skipped=2)


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (
            "releases_gil(atleast=0.5)",
            "releases_gil: expected keywords among at_least, budget; got 'atleast'",
        ),
        (
            "scales(at_least=0.5)",
            "scales: expected keywords among workers, efficiency, budget, limit_threads; got 'at_least'",
        ),
        ("releases_gil(0.5)", "releases_gil: expected keywords (at_least, budget), got"),
        ("releases_gil(at_least=0)", "releases_gil: at_least: expected above 0 and"),
        ("releases_gil(at_least=1.1)", "releases_gil: at_least: expected above 0 and"),
        (
            "longest_hold(at_least=0.5)",
            "longest_hold: expected keywords among at_most, budget; got 'at_least'",
        ),
        ("longest_hold(0.5)", "longest_hold: expected keywords (at_most, budget), got"),
        (
            "longest_hold(at_most=0)",
            "longest_hold: at_most: expected 0.01 to 86400 seconds, got",
        ),
        ("longest_hold(at_most='x')", "longest_hold: at_most: expected a number, got"),
        ("scales(workers=1)", "scales: workers: expected at least 2, got 1"),
        ("scales(workers=2.5)", "scales: workers: expected a whole number, got 2.5"),
        ("scales(efficiency='x')", "scales: efficiency: expected a number, got 'x'"),
        ("scales(limit_threads=0)", "scales: limit_threads: expected at least 1, got 0"),
        ("scales(budget=0)", "scales: budget: expected above 0"),
    ],
)
def test_wrong_markers(pytester: pytest.Pytester, marker: str, words: str) -> None:
    done = run(
        pytester,
        f"import pytest\n@pytest.mark.{marker}\ndef test_it(): raise SystemExit\n",
        "--strict-markers",
    )
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*ERROR collecting*", f"gilx: test_it: {words}*"])


def test_markers_where_they_say_nothing(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import unittest
        import pytest

        class TestIt(unittest.TestCase):
            @pytest.mark.releases_gil
            def test_it(self):
                raise SystemExit
        """,
    )
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*gilx: releases_gil: expected a test function*"])


@pytest.mark.parametrize("marker", ["scales", "releases_gil", "longest_hold"])
@pytest.mark.parametrize(
    "body",
    [
        "async def test_it(): raise SystemExit",
        "async def test_it(): yield",
        "class TestIt:\n    @MARK\n    async def test_it(self): yield",
        "class TestIt:\n    @MARK\n    @staticmethod\n    async def test_it(): pass",
    ],
)
def test_markers_of_functions_whose_body_does_not_run(
    pytester: pytest.Pytester, marker: str, body: str
) -> None:
    lines = body if "MARK" in body else f"@MARK\n{body}"
    pytester.makepyfile(f"import pytest\nMARK = pytest.mark.{marker}\n{lines}\n")
    done = pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        [f"gilx: test_it: {marker}: expected a plain function, but *test_it is *"]
    )


def test_markers_of_generators(pytester: pytest.Pytester) -> None:
    # Versions of pytest from 8.4 on refuse them themselves.
    pytester.makepyfile("import pytest\n@pytest.mark.scales\ndef test_it(): yield\n")
    done = pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*yield*"])


@pytest.mark.usefixtures("made_up")
def test_what_the_body_raises_is_told(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import pytest

        @pytest.mark.releases_gil
        def test_wrong():
            assert 1 + 1 == 3

        @pytest.mark.releases_gil
        @pytest.mark.xfail(raises=ZeroDivisionError)
        def test_expected():
            1 / 0

        @pytest.mark.scales
        def test_skipped():
            pytest.skip("not today")
        """,
        "-rs",
    )
    done.assert_outcomes(failed=1, xfailed=1, skipped=1)
    done.stdout.fnmatch_lines(["E       assert (1 + 1) == 3", "*not today*"])
    done.stdout.no_fnmatch_line("*= gilx:*")


def test_the_markers_are_listed(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest("--markers")
    done.stdout.fnmatch_lines(
        [
            "@pytest.mark.releases_gil(at_least*",
            "@pytest.mark.longest_hold(at_most*",
            "@pytest.mark.scales(workers*",
        ]
    )
    done = pytester.runpytest("--fixtures")
    done.stdout.fnmatch_lines(["gil -- *", "    Check what a call does with the GIL*"])
