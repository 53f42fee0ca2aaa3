"""The plugin under versions of pytest that gilx does not support."""

from __future__ import annotations

import sys

import pytest

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


OLD_PYTEST = """
import sys

import pytest

{change}
pytest.__version__ = "7.4.4"
sys.exit(pytest.main(sys.argv[1:]))
"""


USES = """
    import pytest

    def test_fixture(gil):
        gil.releases(sorted, [])

    @pytest.mark.releases_gil(at_least=7)
    def test_marker():
        raise AssertionError("a test that can't be checked was run")

    @pytest.mark.scales
    class TestMarked:
        def test_it(self):
            raise AssertionError("a test that can't be checked was run")

    def test_other():
        pass
"""


NOTHING_CHECKED = [
    "*= gilx: nothing was checked =*",
    "gilx needs pytest 8.0 or newer, and this is pytest 7.4.4.",
]


def run_old(
    pytester: pytest.Pytester,
    *options: str,
    change: str = "pytest.version_tuple = (7, 4, 4)",
) -> pytest.RunResult:
    """Run pytest as if it were an older one; tests/pytest_versions.py runs older ones."""
    code = OLD_PYTEST.format(change=change)
    return pytester.run(sys.executable, "-c", code, "-p", "no:xdist", *options)


# pytest 6 has no version_tuple.
@pytest.mark.parametrize(
    "change", ["pytest.version_tuple = (7, 4)", "del pytest.version_tuple"]
)
def test_unsupported_pytest_checks_nothing(
    pytester: pytest.Pytester, change: str
) -> None:
    pytester.makepyfile(USES)
    done = run_old(pytester, "--strict-markers", "-W", "error", "-rs", change=change)
    done.assert_outcomes(passed=1, skipped=3)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)
    assert str(done.stdout).count("gilx: nothing was checked") == 1


def test_unsupported_pytest_fails_what_may_not_be_inconclusive(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(USES)
    done = run_old(pytester, "--gilx-inconclusive=fail")
    done.assert_outcomes(passed=1, errors=3)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)


@pytest.mark.parametrize(
    "options", [("--gilx-budget=nonsense",), ("--gilx-under-xdist",)]
)
def test_unsupported_pytest_reports_options(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile("def test_other(): pass")
    done = run_old(pytester, *options)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)


def test_unsupported_pytest_reports_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    pytester.makeini("[pytest]\ngilx_json = found.json\n")
    done = run_old(pytester, "--strict-config")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)
    assert not (pytester.path / "found.json").exists()


def test_unsupported_pytest_is_left_alone_when_gilx_is_not_used(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert {name for name in sys.modules if name.startswith("gilx.")} == {
                "gilx.pytest_plugin",
                "gilx.pytest_plugin.declarations",
                "gilx.pytest_plugin.unsupported_pytest",
            }
        """
    )
    done = run_old(pytester)
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*nothing was checked*")
