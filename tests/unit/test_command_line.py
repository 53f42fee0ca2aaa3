"""Wrong command lines: each is one line of text and status 2."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gilx import cli
from gilx.cli import probe
from gilx.cli.file_options import save, save_and_print
from gilx.errors import ArgumentError

if TYPE_CHECKING:
    from pathlib import Path

TOO_MANY = "to 4096, got 100000000000000000000"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("probe", "nope"), "target: expected module:callable, -m module, or a script,"),
        (("probe", "nope.py"), "target: expected a script that exists, got 'nope.py'"),
        (("probe", "nope:x"), "target: can't import 'nope': ModuleNotFoundError"),
        (
            ("probe", "script.py:work"),
            "expected the name of a module before the colon, as in json:loads, got the",
        ),
        (("probe", "math:nope"), "target: module 'math' has no attribute 'nope'"),
        (("probe", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("probe", "time:sleep", "--budget", "x"), "budget: expected a number, got 'x'"),
        (("probe", "--repeat", "0", "time:time"), "repeat: expected at least 1, got 0"),
        (("probe", "time:time", "--predict", "0"), "predict: expected at least 1, got 0"),
        (
            ("probe", "time:time", "--predict", "x"),
            "predict: expected whole numbers separated",
        ),
        (
            ("probe", "time:time", "--predict", "2", "--json=-"),
            "predict: can't be combined with --json on standard output",
        ),
        (
            ("probe", "--predict", "2", __file__),
            "predict: expected only with module:callable, since a program runs once",
        ),
        (("selftest", "--seconds", "0"), "seconds: expected 0.1 to 60 seconds, got 0"),
        (("run", "nope"), "gilx run: kernel: expected one of mandelbrot, "),
        (("run", "histogram", "--variant", "x"), "gilx run: variant: expected one of "),
        (("run", "histogram", "--pool", "x"), "gilx run: pool: expected one of serial, "),
        (("run", "histogram", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("run", "histogram", "--workers", "-2"), "workers: expected at least 1, got -2"),
        (("run", "histogram", "--workers", "two"), "workers: expected a whole number"),
        (("run", "histogram", "--schedule", "x"), "schedule: expected one of static, "),
        (("demo", "nope"), "gilx demo: unrecognized arguments: nope"),
        (("demo", "--workers", "1"), "gilx demo: workers: expected at least 2, got 1"),
        (("demo", "--chapter", "9"), "gilx demo: chapter: expected 1 to 8, got 9"),
        (
            ("demo", "--chapter", "1,x"),
            "gilx demo: chapter: expected whole numbers separated",
        ),
        (
            ("demo", "--save", "."),
            "save: expected a directory that is not there yet: '.'",
        ),
        (
            ("demo", "--save", "nope/x"),
            "save: can't make the directory 'nope/x': No such",
        ),
        (("demo", "--save", f"{__file__}/x"), "test_command_line.py/x': Not a directory"),
        (("latency", "json"), "target: expected module:callable, got 'json'"),
        (("latency", "json:"), "target: expected module:callable, got 'json:'"),
        (("latency", "no.such:x"), "target: can't import 'no.such': ModuleNotFoundError"),
        (("latency", "json:nope"), "target: module 'json' has no attribute 'nope'"),
        (("latency", "json:decoder.nope"), "target: 'decoder' has no attribute 'nope'"),
        (("latency", "json:__name__"), "but json:__name__ is of type str"),
        (("latency", "json:loads", "x+"), "argument 1: expected a Python literal, such"),
        (("latency", "json:loads", "1", "os"), "argument 2: expected a Python literal"),
        (("latency", "time:time", "--workers", "1,x"), "workers: expected whole numbers"),
        (
            ("latency", "time:time", "--workers", "0"),
            "workers: expected at least 1, got 0",
        ),
        (("latency", "time:time", "--period", "x"), "period: expected a number, got 'x'"),
        (("latency", "time:time", "--budget", "0"), "budget: expected above 0"),
        (
            ("run", "histogram", "--pool", "interpreters", "--variant", "numpy"),
            "gilx run: variant: expected one of c-gil, c-nogil on the interpreters pool",
        ),
        (("measure", "nope"), "target: expected module:callable or one of mandelbrot, "),
        (("measure", "triad", "3"), "argument 1: expected no arguments for a kernel"),
        (("measure", "triad", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("measure", "triad", "--workers", "x"), "workers: expected whole numbers"),
        (("measure", "triad", "--budget", "-1"), "budget: expected a finite number"),
        (("measure", "triad", "--precision", "0"), "precision: expected 0.001 to 0.5"),
        (("measure", "triad", "--pools", "x"), "pools: expected one of serial, threads"),
        (("measure", "triad", "--variants", "x"), "variants: expected one of python, "),
        (("measure", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("compare", "nope.json", "x"), "nope.json: can't be read: No such file"),
        (("compare", "a\nb\x1b[m", "x"), "compare: a b\\x1b[m: can't be read: No such"),
        (("compare", "a  b", "x"), "compare: a  b: can't be read: No such file"),
        (("audit", "a\nb\x1b[m"), "gilx audit: a b\\x1b[m: can't be read: No such file"),
        (
            ("compare", __file__, __file__),
            "test_command_line.py: expected JSON of a report or usage; got other text",
        ),
        (
            ("probe", "--json", "script.py", "x"),
            "json: expected the name of a file for JSON, got 'script.py'; write --json=-",
        ),
        (("grain", "nope"), "gilx grain: kernel: expected one of mandelbrot"),
        (("grain", "no.such:x"), "gilx grain: target: can't import 'no.such'"),
        (("grain", "math:gcd"), "gilx grain: items: expected the callable's number"),
        (("grain", "collatz", "--budget", "x"), "budget: expected a number, got 'x'"),
        (("grain", "--json", "json:loads"), "write --json=- in front of a target"),
        (
            ("measure", "math:sqrt", "--json", "2"),
            "got '2'; write --json=- in front of an argument, or --json=2 for a file of",
        ),
        (
            ("latency", "json:loads", "--json", "'[1]'"),
            "--json=- in front of an argument",
        ),
        (("measure", "--json", "collatz"), "write --json=- in front of a target"),
        (
            ("audit", "--json", "audit.toml"),
            "write --json=- in front of the audit's file, or --json=audit.toml for a file",
        ),
        (
            ("doctor", "--json", "numpy"),
            "got 'numpy'; write --json=- in front of a module, or --json=numpy for a file",
        ),
        (("doctor", "--json", "numpy.linalg"), "write --json=- in front of a module"),
        (("measure", "triad", "--workers", f"1,{10**20}"), TOO_MANY),
        (("latency", "time:time", "--workers", f"{10**20}"), TOO_MANY),
        (("grain", "triad", "--workers", f"{10**20}"), TOO_MANY),
        (("run", "triad", "--workers", f"{10**20}"), TOO_MANY),
        (("demo", "--workers", f"{10**20}"), "workers: expected 2 to 4096, got 1000"),
        (("probe", "time:time", "--budget", "inf"), "budget: expected a finite number"),
        (
            ("probe", "time:time", "--trace", "x", "--precision", "nan"),
            "precision: expected 0.001 to 0.5, got nan",
        ),
        (("probe", "time:time", "-m"), "-m: expected before TARGET"),
        (("probe", "time:time", "-x"), "gilx probe: unrecognized arguments: -x\n"),
        (("probe", "--no-such", "x.py"), "gilx probe: unrecognized arguments: --no-such"),
        (("kernels", "--no", "1"), "gilx kernels: unrecognized arguments: --no 1\n"),
        (("--no-such", "kernels"), "gilx: unrecognized arguments: --no-such\n"),
        (("probe", "-m"), "the following arguments are required: TARGET"),
        (("probe", "-mno.such", "x"), "-m: no module named 'no'"),
        (("probe", "time:time", "--", "--json"), "argument 1: expected a Python literal"),
        (
            ("measure", "--aa"),
            "measure: the following arguments are required: TARGET\n",
        ),
        (("latency",), "the following arguments are required: MODULE:CALLABLE\n"),
        (
            ("measure", "triad", "--work", "2"),
            "gilx measure: unrecognized arguments: --work",
        ),
        (("nope",), "gilx: argument COMMAND: invalid choice: 'nope'"),
        ((), "gilx: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as e:
        sys.exit(cli.main(arguments))
    assert e.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


OF_A_CALL = {"target": "math:pow", "arguments": ["2", "3.0"], "module": False}
OWN = ("--json", "--", "-m", "--p", "-h")
OF_A_PROGRAM = {"arguments": [*OWN], "module": False}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("math:pow", "2", "3.0"),
            {
                **OF_A_CALL,
                **dict.fromkeys(("json", "trace", "plot", "html", "repeat")),
                "precision": 0.01,
                "budget": 5.0,
                "no_warmup": False,
            },
        ),
        (("--budget", "2", "math:pow", "2", "3.0"), {**OF_A_CALL, "budget": 2.0}),
        (("math:pow", "2", "--budget", "2", "3.0"), {**OF_A_CALL, "budget": 2.0}),
        (("math:pow", "2", "3.0", "--json"), {**OF_A_CALL, "json": "-"}),
        (("math:pow", "--json=x:y", "2", "3.0"), {**OF_A_CALL, "json": "x:y"}),
        (("--json", "at_12:30.json", "x.py"), {"target": "x.py", "json": "at_12:30.json"}),
        (("--json", "C:\\x.json", "x.py"), {"target": "x.py", "json": "C:\\x.json"}),
        (("--json", "x", "--no-warmup", "math:pow", "2", "3.0"), {"no_warmup": True}),
        (("math:pow", "-2.5", "--repeat", "3", "--", "-1e1", "-2e1"),
         {"arguments": ["-2.5", "-1e1", "-2e1"], "repeat": 3}),
        (("--", "math:pow", "2"), {"target": None, "program": ["math:pow", "2"]}),
        (("math:pow",), {"target": "math:pow", "arguments": []}),
        (("math:pow", "--repeat", "3"), {"arguments": [], "repeat": 3}),
        (("x.py", *OWN), {**OF_A_PROGRAM, "json": None}),
        (("--", "x.py", *OWN), {"program": ["x.py", *OWN], "json": None}),
        (("--json", "--", "x", "--"), {"program": ["x", "--"], "json": "-"}),
        (("--html", "y", "x.py", *OWN), {**OF_A_PROGRAM, "html": "y"}),
        (("-m", "x", "--", "-m"), {"target": "x", "arguments": ["--", "-m"], "module": True}),
        (("-m", "--html", "y", "x", "-m"), {"arguments": ["-m"], "html": "y"}),
        (("math:pow", "--", "--json", "--"), {"arguments": ["--json", "--"], "json": None}),
        (("math:pow", "--json", "--", "-m"), {"arguments": ["-m"], "json": "-"}),
        (("-mx.y", "-mz"), {"target": "x.y", "arguments": ["-mz"], "module": True}),
        (("--html", "y", "--json", "-mx"), {"target": "x", "html": "y", "json": "-"}),
        (("--json", "y", "--no-warmup", "-mx"), {"target": "x", "json": "y", "no_warmup": True}),
        (("x.py", "-my"), {"target": "x.py", "arguments": ["-my"], "module": False}),
    ],
)  # fmt: skip
def test_words_of_probe(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    parser, commands = cli._parser()
    probe.add_arguments(commands["probe"])
    commands["probe"].words = words
    found = vars(parser.parse_args(["probe", *words]))
    assert {name: found[name] for name in expected} == expected


def test_file_for_json_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("numpy", "a:b.json"):
        cli.main(["doctor", "--seconds", "0.1", f"--json={name}"])
    assert sorted(os.listdir(tmp_path)) == ["a:b.json", "numpy"]


def test_each_problem_with_a_file_is_reported_and_the_text_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing, there = tmp_path / "missing" / "x", tmp_path / "x"
    paths = [missing, there, missing]
    files = [partial(save, "json", str(path), "{}") for path in paths]
    with pytest.raises(ArgumentError) as caught:
        save_and_print(files, "text", sys.stdout)
    why = f"json: can't write '{missing}': No such file or directory"
    assert str(caught.value) == f"{why}; {why}"
    assert there.read_text() == "{}"
    assert capsys.readouterr().out == "text\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "probe",
            "exit status: for a callable or a process, 0 if the usage of the GIL was",
        ),
        (
            "grain",
            "exit status: 0 if the grain was measured, whether or not threads pay,",
        ),
    ],
)
def test_help_has_the_exit_status(
    command: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    assert words in " ".join(capsys.readouterr().out.split())
