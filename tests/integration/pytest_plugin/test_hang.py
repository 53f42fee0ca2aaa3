"""Runs that end since a test does not release the GIL."""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from gilx.sampling.known_stacks import reason_against_stacks
from tests.markers import (
    needs,
    needs_c_compiler,
    needs_fork,
    needs_linux,
    needs_no_gil,
    needs_two_cpus,
    needs_watch,
)
from tests.undeclared_extension import build, needs_undeclared_extension

if TYPE_CHECKING:
    from pathlib import Path

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
        ["gilx: the run ends when the GIL is not released for 0.5 s", f"{file.name} .Fs*"]
    )
    done.stderr.fnmatch_lines(
        [
            "gilx: process *: the GIL was not released for * (no thread waits), at * UTC",
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


HANG_IN_IMPORT = "import ctypes; ctypes.PyDLL(None).sleep(3600)"


@needs_watch
def test_hang_while_tests_are_collected_is_reported(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(HANG_IN_IMPORT)
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    done.stderr.fnmatch_lines(
        [
            f"gilx: the GIL was not released for 0.5 s while {file.name} was collected",
            "gilx: the run ends with status 70",
        ]
    )


DEADLOCK = """
    import ctypes, hashlib

    DATA = bytes(3_000_000)
    mutex = ctypes.create_string_buffer(256)
    with_gil, without_gil = ctypes.PyDLL(None), ctypes.CDLL(None)

    def work():
        # One thread has the mutex and will wait for the GIL; another one takes the GIL and
        # waits for the mutex. Alone, the call releases the GIL nearly all of its time.
        without_gil.pthread_mutex_lock(mutex)
        hashlib.sha256(DATA)
        with_gil.pthread_mutex_unlock(mutex)
        hashlib.sha256(DATA)
        with_gil.pthread_mutex_lock(mutex)
        with_gil.pthread_mutex_unlock(mutex)

    def test_scales(gil):
        gil.scales(work)
"""


@needs_watch
@needs_two_cpus
def test_deadlock_of_a_scaling_check_is_reported_as_that(
    pytester: pytest.Pytester,
) -> None:
    file = pytester.makepyfile(DEADLOCK)
    done = pytester.runpytest_subprocess("--gilx-hang=1", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    done.stderr.fnmatch_lines(
        [f"FAILED {file.name}::test_scales - gilx: the GIL was not *"]
    )
    # It is known only where Linux shows system calls of threads.
    if os.access("/proc/self/syscall", os.R_OK) and not reason_against_stacks():
        done.stderr.fnmatch_lines(
            [
                "gilx: process *: the GIL was not released for * (* thread*), at * UTC",
                "Thread * holds the GIL and waits for another lock (most recent call first):",
                "*in work",
                "gilx: the threads of this scaling check deadlocked: one holds the GIL and*",
            ]
        )


@needs_watch
@needs_two_cpus
def test_other_hangs_are_not_reported_as_deadlocks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import ctypes, threading, time

        def test_scales(gil):
            gil.scales(ctypes.PyDLL(None).sleep, 3600)
        """
    )
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    assert "of this scaling check" not in str(done.stderr)


@needs_watch
def test_lone_surrogate_in_a_message_does_not_end_the_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        r"""
        import ctypes

        def test_fails():
            raise ValueError("caf\udce9")

        def test_hangs():
            ctypes.PyDLL(None).sleep(3600)
        """
    )
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", f"--junitxml={path}")
    assert done.ret == STATUS
    done.stderr.fnmatch_lines([r"FAILED *::test_fails - ValueError: caf\udce9"])
    assert list(results_in(path).values()) == ["failure", "failure"]


# ---- JUnit XML ------------------------------------------------------------------------


def results_in(path: Path) -> dict[str, str]:
    """Return the kind of each test's result, by class and name."""
    suite = ET.parse(path).getroot()[0]
    cases = list(suite)
    results = {
        f"{case.get('classname')}::{case.get('name')}": ", ".join(one.tag for one in case)
        for case in cases
        if case.tag == "testcase"
    }
    for count, kind in (
        ("failures", "failure"),
        ("errors", "error"),
        ("skipped", "skipped"),
    ):
        assert int(suite.get(count, -1)) == sum(kind in one for one in results.values())
    assert int(suite.get("tests", -1)) == len(results) == len(cases)
    return results


OUTCOMES = r"""
    import pytest

    class TestClass:
        @pytest.mark.parametrize("x", ["a[1]", "<&\x1b'é::"])
        def test_fails(self, x):
            assert not x, "not equal \x1b ]]> <&"

    @pytest.fixture
    def broken():
        raise OSError("broken")

    def test_is_not_set_up(broken):
        pass

    @pytest.mark.xfail(reason="known")
    def test_fails_as_expected():
        raise ValueError
"""


# pytest-run-parallel needs pytest's plugin for the terminal.
NO_TERMINAL = "-p", "no:terminal", "-p", "no:run-parallel"


@needs_watch
@pytest.mark.parametrize(
    "options",
    [
        (),
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (NO_TERMINAL, ("-q",), ("-s", "-v"))
        ),
    ],
)
def test_results_so_far_are_in_the_file_for_junit(
    options: tuple[str, ...], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(test_a=OUTCOMES, test_b=HANG)
    path = pytester.path / "new" / "results.xml"
    words = "-p", "no:cacheprovider", f"--junitxml={path}"
    pytester.runpytest_subprocess(*words, "test_a.py")
    expected = results_in(path)
    assert sorted(expected.values()) == ["error", "failure", "failure", "skipped"]
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", *words, *options)
    assert done.ret == STATUS
    expected |= {
        "test_b::test_passes": "",
        "test_b::test_fails": "failure",
        "test_b::test_is_skipped": "skipped",
        "test_b::test_hangs": "failure",
    }
    assert results_in(path) == expected
    failures = {
        case.get("name"): case[0].get("message", "")
        for case in ET.parse(path).iter("testcase")
        if len(case)
    }
    assert failures["test_fails"].startswith("AssertionError: not equal")
    assert failures["test_hangs"].startswith(
        "the process ended while this test ran: if its status was 70, gilx"
    )
    done.stderr.fnmatch_lines(
        ["gilx: the run ends with status 70: 5 failed, 1 passed, *"]
    )


@needs_watch
def test_run_that_ends_has_the_file_that_pytest_writes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(OUTCOMES)
    texts = []
    for options in [], ["--gilx-hang=60"]:
        path = pytester.path / "results.xml"
        done = pytester.runpytest_subprocess(f"--junitxml={path}", "-x", *options)
        assert done.ret == pytest.ExitCode.TESTS_FAILED
        tree = ET.parse(path)
        for one in tree.iter():
            for name in "time", "timestamp":
                one.attrib.pop(name, None)
        texts.append(re.sub(rb"\b0x\w+", b"", ET.tostring(tree.getroot())))
    assert texts[0] == texts[1]


@needs_watch
def test_hang_while_tests_are_collected_is_in_the_file_for_junit(
    pytester: pytest.Pytester,
) -> None:
    file = pytester.makepyfile(HANG_IN_IMPORT)
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", f"--junitxml={path}")
    assert done.ret == STATUS
    assert results_in(path) == {"::pytest": "error"}
    assert f"the process ended while {file.name} was collected: if" in path.read_text()


@needs_watch
def test_file_for_junit_that_cannot_be_written_is_a_usage_error(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_passes(): pass")
    words = "--gilx-hang=60", f"--junitxml={os.devnull}/results.xml"
    done = pytester.runpytest_subprocess(*words)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: gilx: --gilx-hang: can't write '*results.xml': *"])


@needs_watch
def test_files_of_a_test_that_closed_every_descriptor_are_left_alone(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import ctypes, os

        files = []

        def test_closes():
            os.closerange(3, 100)
            files.extend(open(f"file{number}", "w") for number in range(40))

        def test_passes():
            pass

        def test_fails():
            assert not any(os.fstat(one.fileno()).st_size for one in files)
            assert 0
        """
    )
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("-s", "--gilx-hang=60", f"--junitxml={path}")
    assert list(results_in(path).values()) == ["", "", "failure"]
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    files = list(pytester.path.glob("file*"))
    assert len(files) == 40
    assert not any(file.stat().st_size for file in files)


@needs_watch
@pytest.mark.parametrize("options", [("--junitxml=/dev/null",), ("-p", "no:junitxml")])
def test_nothing_is_kept_without_a_file(
    options: tuple[str, ...], pytester: pytest.Pytester
) -> None:
    pytester.makepyfile("def test_passes(): pass")
    done = pytester.runpytest_subprocess("--gilx-hang=60", *options)
    done.assert_outcomes(passed=1)
    assert done.ret == 0


@needs_watch
def test_verdicts_so_far_are_in_their_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import ctypes, time

        def test_releases(gil):
            gil.releases(time.sleep, 0.01, budget=0.5, at_least=0.01)

        def test_hangs():
            ctypes.PyDLL(None).sleep(3600)
        """
    )
    path = pytester.path / "new" / "verdicts.json"
    done = pytester.runpytest_subprocess("--gilx-hang=1", f"--gilx-json={path}")
    assert done.ret == STATUS
    found = json.loads(path.read_text())
    assert found["complete"] is False
    assert [one["test"].partition("::")[2] for one in found["verdicts"]] == [
        "test_releases"
    ]


@needs_watch
@needs_fork
def test_child_that_hangs_does_not_report_the_end_of_the_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import ctypes, os, warnings

        def test_forks():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
            if child == 0:
                ctypes.PyDLL(None).sleep(3600)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 70
        """
    )
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-s", f"--junitxml={path}")
    done.assert_outcomes(passed=1)
    assert list(results_in(path).values()) == [""]
    done.stderr.fnmatch_lines(
        [
            "gilx: process *: the GIL was not released for *",
            "gilx: this process ends with status 70: it was forked while *::test_forks ran*",
        ]
    )
    assert "FAILED" not in str(done.stderr)
    assert "the run ends" not in str(done.stderr)


@needs_watch
@needs("xdist")
def test_worker_ends_and_the_run_goes_on(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(HANG)
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-n1", f"--junitxml={path}")
    done.assert_outcomes(passed=2, failed=2, skipped=1)
    results = list(results_in(path).values())
    assert sorted(results) == ["", "", "error", "failure", "skipped"]
    done.stdout.fnmatch_lines(["*worker 'gw0' crashed while running*test_hangs*"])
    assert "the GIL was not released for " in str(done.stdout) + str(done.stderr)


@needs_watch
@needs("xdist")
def test_worker_that_hangs_while_it_collects_ends_the_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_a="def test_passes(): pass", test_b=HANG_IN_IMPORT)
    path = pytester.path / "results.xml"
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-n1", f"--junitxml={path}")
    assert done.ret == STATUS
    assert results_in(path) == {"::test_b": "error"}
    words = "ended while test_b.py was collected: if its status was 70, gilx ended it"
    assert words in path.read_text()
    done.stdout.fnmatch_lines(
        ["*ERROR collecting test_b.py*", f"gilx: worker gw* {words}*"]
    )


@needs_watch
@needs("xdist")
def test_worker_that_hangs_after_the_tests_makes_the_run_fail(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        import ctypes

        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"):
                ctypes.PyDLL(None).sleep(3600)
        """
    )
    pytester.makepyfile("def test_passes(): pass")
    path = pytester.path / "results.xml"
    words = "--gilx-hang=0.5", "-n1", "--max-worker-restart=0", f"--junitxml={path}"
    done = pytester.runpytest_subprocess(*words)
    assert done.ret == STATUS
    assert sorted(results_in(path).values()) == ["", "error"]
    done.stdout.fnmatch_lines(
        ["gilx: worker gw0 ended while no test ran: if its status*"]
    )


@needs_watch
@needs("xdist")
def test_worker_that_is_interrupted_in_a_test_is_reported_as_without(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_stops():\n    raise KeyboardInterrupt")
    done = pytester.runpytest_subprocess("--gilx-hang=30", "-n1")
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*worker 'gw0' crashed while running*test_stops*"])
    assert "INTERNALERROR" not in str(done.stdout) + str(done.stderr)


@needs_no_gil
@needs_linux
def test_hang_without_a_gil_is_named(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(HANG)
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    done.stdout.fnmatch_lines(
        ["gilx: the run ends when a stop of all threads does not begin *"]
    )
    done.stderr.fnmatch_lines(
        [
            "gilx: process *: the stop of the world that gilx asked for has not begun,*",
            "Thread * (main thread) is late to stop and sleeps (most recent call first):",
            f'  File "*{file.name}", line 16 in test_hangs',
            f"FAILED {file.stem}.py::test_hangs - gilx: a stop of all threads did not*",
            "gilx: the run ends with status 70: 2 failed, 1 passed, 1 skipped",
        ]
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x", "--gilx-hang: expected a number, got 'x'"),
        ("0", "--gilx-hang: expected 0.1 to 86400 seconds, got 0"),
        ("inf", "--gilx-hang: expected 0.1 to 86400 seconds, got inf"),
    ],
)
def test_wrong_time_is_a_usage_error(
    given: str, expected: str, pytester: pytest.Pytester
) -> None:
    done = pytester.runpytest_subprocess(f"--gilx-hang={given}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: {expected}"])


@needs_undeclared_extension
@needs_c_compiler
@pytest.mark.parametrize("place", ["conftest", "module", "test"])
def test_hang_is_found_after_an_import_has_turned_the_gil_on(
    place: str, pytester: pytest.Pytester
) -> None:
    build(pytester.path, "_core")
    pytester.syspathinsert()
    imported = {one: "import _core" if one == place else "" for one in _PLACES}
    pytester.makeconftest(imported["conftest"])
    file = pytester.makepyfile(_TURNED_ON.format(**imported))
    done = pytester.runpytest_subprocess("--gilx-hang=0.5", "-p", "no:cacheprovider")
    assert done.ret == STATUS
    done.stderr.fnmatch_lines(
        [
            "gilx: process *: the GIL was not released for * (no thread waits), at * UTC",
            "Thread * (main thread) holds the GIL *",
            f"FAILED {file.name}::test_hangs - gilx: the GIL was not released for 0.5 s",
            "gilx: the run ends with status 70: 1 failed, 1 passed",
        ]
    )


_PLACES = "conftest", "module", "test"
_TURNED_ON = """
    import ctypes
    {module}

    def test_passes():
        pass

    def test_hangs():
        {test}
        ctypes.PyDLL(None).sleep(3600)
"""


@needs_undeclared_extension
@needs_c_compiler
def test_run_in_which_the_gil_is_turned_on_ends_as_without(
    pytester: pytest.Pytester,
) -> None:
    build(pytester.path, "_core")
    pytester.syspathinsert()
    pytester.makepyfile(
        """
        import time

        def test_imports():
            import _core
            time.sleep(1.0)

        def test_computes():
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                sum(range(1000))
        """
    )
    done = pytester.runpytest_subprocess("--gilx-hang=0.7", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=2, warnings=1)
    assert "finds no hangs" not in done.stdout.str()
