"""Runs that end since a test does not release the GIL."""

from __future__ import annotations

import pytest

from gilx.sampling.known_stacks import reason_against_stacks
from tests.markers import needs, needs_no_gil, needs_watch

pytest_plugins = ["pytester"]

STATUS = 70
HANG = """
    import ctypes, threading, time
    import pytest

    def test_passes():
        pass

    def test_fails():
        assert 1 == 2, "not equal"

    @pytest.mark.skip
    def test_is_skipped():
        pass

    def test_hangs():
        print("captured")
        ctypes.PyDLL(None).sleep(3600)

    def test_comes_later():
        pass
"""


@needs_watch
def test_hanging_test_is_named_and_earlier_results_are_kept(
    pytester: pytest.Pytester,
) -> None:
    file = pytester.makepyfile(HANG)
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    line = f'  File "*{file.name}", line 16 in test_hangs'
    stack = [] if reason_against_stacks() else [line]
    done.stdout.fnmatch_lines(
        ["gilx: ends when the GIL is not released for 0.5 s", f"{file.name} .Fs*"]
    )
    done.stderr.fnmatch_lines(
        [
            "gilx: process *: the GIL was not released for 0.5* (no thread waits)",
            "Thread * (main thread) holds the GIL *(most recent call first):",
            *stack,
            f"FAILED {file.name}::test_hangs - gilx: the GIL was not released for 0.5 s",
            f"FAILED {file.name}::test_fails - AssertionError: not equal",
            "gilx: the run ends with status 70: 2 failed, 1 passed, 1 skipped",
        ]
    )


@needs_watch
def test_tests_that_release_the_gil_end_as_without(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import ctypes, time

        def test_waits():
            time.sleep(1.0)

        def test_computes():
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                sum(range(1000))
        """
    )
    pytester.makeini("[pytest]\ngilx_hang = 0.7")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=2)
    assert done.ret == 0


@needs_watch
def test_hang_while_tests_are_collected_is_reported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import ctypes; ctypes.PyDLL(None).sleep(3600)")
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    done.stderr.fnmatch_lines(
        [
            "gilx: the GIL was not released for 0.5 s while tests were collected",
            "gilx: the run ends with status 70",
        ]
    )


@needs_watch
@needs("xdist")
def test_worker_ends_and_the_run_goes_on(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HANG)
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-n1")
    done.assert_outcomes(passed=2, failed=2, skipped=1)
    done.stdout.fnmatch_lines(["*worker 'gw0' crashed while running*test_hangs*"])
    assert "the GIL was not released for 0.5" in str(done.stdout) + str(done.stderr)


@needs_no_gil
def test_run_without_a_gil_says_that_hangs_are_not_found(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_passes(): pass")
    done = pytester.runpytest_subprocess("--gilx-hang=0.5")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["gilx: --gilx-hang finds no hangs here: *"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x", "--gilx-hang: expected a number, got 'x'"),
        ("0", "--gilx-hang: expected 0.1 to 86400, got 0"),
        ("inf", "--gilx-hang: expected 0.1 to 86400, got inf"),
    ],
)
def test_wrong_time_is_a_usage_error(
    given: str, expected: str, pytester: pytest.Pytester
) -> None:
    done = pytester.runpytest_subprocess(f"--gilx-hang={given}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: {expected}"])
