"""The plugin's options and settings."""

from __future__ import annotations

import json

import pytest

import gilx.testing
from gilx.testing import Verdict
from tests.integration.pytest_plugin.plugin_runs import FIXTURE, run

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


@pytest.mark.usefixtures("made_up")
def test_settings_in_a_file(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        gilx_budget = 7
        gilx_inconclusive = fail
        gilx_json = found.json
        gilx_under_xdist = true
        """
    )
    done = run(pytester, FIXTURE.format(outcome="inconclusive"))
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(["*asked for (at_least=0.5, budget=7.0)"])
    done.stdout.fnmatch_lines(["*asked for (at_least=0.9, budget=3)"])
    found = json.loads((pytester.path / "found.json").read_text())
    assert (found["schema"], found["version"]) == ("gilx.verdicts", 4)
    assert found["complete"] is True
    assert found["environment"]["gilx"] == gilx.__version__
    tests = [each["test"].partition("::")[2] for each in found["verdicts"]]
    assert tests == ["test_releases", "test_holds", "test_scales"]
    verdict = Verdict.from_json(json.dumps(found["verdicts"][2]["verdict"]))
    assert (verdict.outcome, verdict.what) == ("inconclusive", "scales")
    # The command line has the last word.
    done = pytester.runpytest(
        "--gilx-budget=9", "--gilx-inconclusive=skip", "--gilx-json=other.json"
    )
    done.assert_outcomes(skipped=3)
    done.stdout.fnmatch_lines(["*asked for (at_least=0.5, budget=9.0)"])
    assert (pytester.path / "other.json").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--gilx-budget=x", "--gilx-budget: expected a number, got 'x'"),
        ("--gilx-budget=0", "--gilx-budget: expected above 0"),
        ("--gilx-budget=inf", "--gilx-budget: expected a finite number"),
        (
            "--gilx-inconclusive=x",
            "--gilx-inconclusive: expected one of skip, fail, warn; got 'x'",
        ),
        ("--gilx-json=", "--gilx-json: expected the name of a file"),
    ],
)
def test_wrong_options(pytester: pytest.Pytester, option: str, words: str) -> None:
    done = run(pytester, "def test_nothing(): pass", option)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: {words}*"])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a_file/found.json", "can't write '*/a_file/found.json': Not a directory"),
        ("a_file/no/found.json", "can't write '*/found.json': Not a directory"),
        (".", "expected the name of a file, got the directory '*'"),
        ("/proc/no/found.json", "can't write '/proc/no/found.json': *"),
    ],
)
def test_json_that_cant_be_written_is_refused_before_tests_run(
    pytester: pytest.Pytester, path: str, words: str
) -> None:
    pytester.makefile("", a_file="")
    pytester.makeini(f"[pytest]\ngilx_json = {path}\n")
    done = run(pytester, "def test_nothing(): open('ran', 'w').close()")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: --gilx-json: {words}"])
    assert not (pytester.path / "ran").exists()


def test_json_goes_to_a_directory_that_is_made(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_nothing(): pass", "--gilx-json=no/such/found.json")
    assert done.ret == 0
    assert (pytester.path / "no" / "such" / "found.json").exists()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("pass", pytest.ExitCode.USAGE_ERROR),
        ("fail", pytest.ExitCode.TESTS_FAILED),
    ],
)
@pytest.mark.usefixtures("made_up")
def test_json_that_cant_be_written_at_the_end_leaves_the_report(
    pytester: pytest.Pytester, outcome: str, status: pytest.ExitCode
) -> None:
    removed = """
    def test_last():
        import pathlib
        pathlib.Path("found.json").mkdir()
    """
    text = FIXTURE.format(outcome=outcome) + removed
    done = run(pytester, text, "--gilx-json=found.json")
    assert done.ret == status
    done.stdout.fnmatch_lines(
        ["*gilx: *", "*gilx: --gilx-json: can't write '*/found.json': *"]
    )
    done.stdout.re_match_lines([r"=+ .*\d passed.* in .*"])
    assert "INTERNALERROR" not in str(done.stdout)
