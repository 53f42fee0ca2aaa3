"""Wrong command lines: each is one line of text and status 2."""

from __future__ import annotations

import sys

import pytest

from gilx import cli


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
        (("probe", "math:nope"), "target: module math has no attribute 'nope'"),
        (("probe", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("probe", "time:sleep", "--budget", "x"), "budget: expected a number, got 'x'"),
        (("probe", "--repeat", "0", "time:time"), "repeat: expected at least 1, got 0"),
        (("selftest", "--seconds", "0"), "seconds: expected 0.1 to 60, got 0"),
        (("run", "nope"), "gilx run: kernel: expected one of mandelbrot, "),
        (("run", "histogram", "--variant", "x"), "gilx run: variant: expected one of "),
        (("run", "histogram", "--pool", "x"), "gilx run: pool: expected one of serial, "),
        (("run", "histogram", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("run", "histogram", "--workers", "-2"), "workers: expected at least 1, got -2"),
        (("run", "histogram", "--workers", "two"), "workers: expected a whole number"),
        (("run", "histogram", "--schedule", "x"), "schedule: expected one of static, "),
        (("demo", "nope"), "gilx: unrecognized arguments: nope"),
        (("demo", "--workers", "1"), "gilx demo: workers: expected at least 2, got 1"),
        (("demo", "--chapter", "9"), "gilx demo: chapter: expected 1 to 8, got 9"),
        (("demo", "--chapter", "1,x"), "gilx demo: chapter: expected whole numbers with"),
        (
            ("demo", "--save", "."),
            "save: expected a directory that is not there yet: '.'",
        ),
        (
            ("demo", "--save", "nope/x"),
            "save: can't make the directory 'nope/x': No such",
        ),
        (
            ("demo", "--save", f"{__file__}/x"),
            "test_command_line.py/x': Not a directory",
        ),
        (("latency", "json"), "target: expected module:callable, got 'json'"),
        (("latency", "json:"), "target: expected module:callable, got 'json:'"),
        (("latency", "no.such:x"), "target: can't import 'no.such': ModuleNotFoundError"),
        (("latency", "json:nope"), "target: module json has no attribute 'nope'"),
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
        (("measure", "triad", "3"), "argument 1: expected none, since a kernel takes"),
        (("measure", "triad", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("measure", "triad", "--workers", "x"), "workers: expected whole numbers"),
        (("measure", "triad", "--budget", "-1"), "budget: expected a finite number"),
        (("measure", "triad", "--precision", "0"), "precision: expected 0.001 to 0.5"),
        (("measure", "triad", "--pools", "x"), "pools: expected one of serial, threads"),
        (("measure", "triad", "--variants", "x"), "variants: expected one of python, "),
        (("measure", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("compare", "nope.json", "x"), "nope.json: can't be read: No such file"),
        (("compare", "a\nb\x1b[m", "x"), "compare: a b\\x1b[m: can't be read: No such"),
        (("audit", "a\nb\x1b[m"), "gilx audit: a b\\x1b[m: can't be read: No such file"),
        (
            ("compare", __file__, __file__),
            "test_command_line.py: expected JSON of schema gilx.report",
        ),
        (
            ("probe", "--json", "script.py", "x"),
            "json: expected the name of a file for JSON, got 'script.py'; write --json=-",
        ),
        (("grain", "--json", "json:loads"), "write --json=- in front of a target"),
        (("measure", "--json", "collatz"), "write --json=- in front of a target"),
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
