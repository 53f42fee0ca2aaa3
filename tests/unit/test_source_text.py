"""Source texts by the positions that code objects have, and files of extension modules."""

from __future__ import annotations

import importlib
import linecache
import math
import os
import sys
import time
import types
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gilx.sampling.source_text import SourceTexts
from tests.command import run_python

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.any_python

SOURCE = """\
def f(row):
    höhe = "😀"; return row.tolist(höhe)
    return max(
        row,
    )
"""


def later() -> float:
    return time.time() + 60


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "features.py"
    path.write_text(SOURCE, "utf-8")
    return str(path)


def positions(source: str, name: str) -> list[tuple[int, int, int, int]]:
    """Return the positions of the instructions of a function."""
    names: dict[str, Any] = {}
    exec(source, names)
    return [
        (line, end_line, column, end_column)
        for line, end_line, column, end_column in names[name].__code__.co_positions()
        if None not in (line, end_line, column, end_column)
    ]


def test_columns_are_bytes_of_utf_8(file: str) -> None:
    texts = {
        SourceTexts(later()).expression(file, *one) for one in positions(SOURCE, "f")
    }
    assert "row.tolist(höhe)" in texts
    assert '"😀"' in texts


def test_of_several_lines_the_first_is_shown(file: str) -> None:
    assert SourceTexts(later()).expression(file, 3, 5, 11, 5) == "max("


@pytest.mark.parametrize(
    "position",
    [
        (0, 0, -1, -1),
        (2, 2, -1, -1),
        (2, 2, 4, 400),
        (2, 2, 9, 9),
        (99, 99, 0, 1),
        (2, 2, 4, 6),  # between the two bytes of a character
    ],
)
def test_position_that_the_source_does_not_have_has_no_text(
    file: str, position: tuple[int, int, int, int]
) -> None:
    assert SourceTexts(later()).expression(file, *position) == ""


def test_file_that_was_changed_since_the_begin_has_no_text(file: str) -> None:
    begin = os.stat(file).st_mtime
    assert SourceTexts(begin).expression(file, 1, 1, 0, 10) == "def f(row)"
    assert SourceTexts(begin - 1).expression(file, 1, 1, 0, 10) == ""
    # What was read of it before is not taken for what it is now.
    Path(file).write_text("x = 1   # a\n")
    assert SourceTexts(later()).expression(file, 1, 1, 0, 5) == "x = 1"


def test_other_encodings_are_read_as_the_file_declares(tmp_path: Path) -> None:
    path = tmp_path / "old.py"
    path.write_bytes("# coding: latin-1\nf('ä', g(1))\n".encode("latin-1"))
    assert SourceTexts(later()).expression(str(path), 2, 2, 8, 12) == "g(1)"
    path.write_bytes(b"f('\xe4')\n")
    assert SourceTexts(later()).expression(str(path), 1, 1, 0, 6) == ""


@pytest.mark.parametrize(
    "name", ["/nowhere/at/all.py", "<string>", "<stdin>", "", "\0", "\udcff", "."]
)
def test_what_is_not_a_source_file_has_no_text(name: str) -> None:
    assert SourceTexts(later()).expression(name, 1, 1, 0, 1) == ""


@pytest.mark.thread_unsafe(reason="one thread reads the pipe")
def test_pipe_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe.py"
    os.mkfifo(path)
    assert SourceTexts(later()).expression(str(path), 1, 1, 0, 1) == ""


def test_source_that_only_the_line_cache_has_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = "<ipython-input-1>"
    entry = (9, None, ["f(x)\n"], cell)
    monkeypatch.setitem(linecache.cache, cell, entry)
    assert SourceTexts(later()).expression(cell, 1, 1, 0, 4) == "f(x)"


# ---- changed files ------------------------------------------------------------------------

LOADED = """\
import functools

def f(row):
    def inner():
        return row.tolist(1.5)
    return inner()

@functools.lru_cache
def g(row):
    return row in {1, "a", 2.5}

class A:
    @property
    def h(self):
        return [x for x in self.rows if x]
"""
FUNCTIONS = [("f", 3), ("f.<locals>.inner", 4), ("g", 8), ("A.h", 13)]
LONG_AGO, EVER = (
    0.0,
    float("inf"),
)  # starts of the process: files may have changed, or not


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    name = "made_up_loaded"
    (tmp_path / f"{name}.py").write_text(LOADED)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield importlib.import_module(name)
    del sys.modules[name]


def changed(
    module: types.ModuleType,
    functions: list[tuple[str, int]] = FUNCTIONS,
    started: float = LONG_AGO,
) -> list[bool]:
    file, texts = str(module.__file__), SourceTexts(later(), started)
    return [
        texts.changed((name, file, line, line, line, 0, 1)) for name, line in functions
    ]


def rewrite(module: types.ModuleType, old: str, new: str) -> None:
    """Change a file as if nobody had, but for what only Linux sets."""
    assert module.__file__ is not None
    path = Path(module.__file__)
    before = path.stat()
    path.write_text(path.read_text().replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_file_that_is_as_it_was_loaded_is_not_changed(loaded: types.ModuleType) -> None:
    assert changed(loaded) == [False] * 4
    assert changed(loaded, started=EVER) == [False] * 4
    position = "f.<locals>.inner", str(loaded.__file__), 4, 5, 5, 15, 30
    assert SourceTexts(later(), LONG_AGO).text(position) == "row.tolist(1.5)"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("1.5", "2.5", [False, True, False, False]),
        ("tolist", "toview", [False, True, False, False]),
        ('"a"', '"b"', [False, False, True, False]),
        ("self.rows", "self.cols", [False, False, False, True]),
        ("import functools", "import functools\n", [True] * 4),
        ("    return row in", "    return row  in", [False, False, True, False]),
        ("class A:", "class B:", [False, False, False, True]),
        ("class A:", "class A", [True] * 4),
        ("class A:", "class A: # \0", [True] * 4),
    ],
)
def test_function_that_differs_from_what_was_loaded_is_changed(
    old: str, new: str, expected: list[bool], loaded: types.ModuleType
) -> None:
    rewrite(loaded, old, new)
    assert changed(loaded) == expected
    assert changed(loaded, started=EVER) == [False] * 4
    position = "f.<locals>.inner", str(loaded.__file__), 4, 5, 5, 15, 30
    text = SourceTexts(later(), LONG_AGO).text(position)
    assert text == ("" if expected[1] else "row.tolist(1.5)")


def test_module_that_was_loaded_again_is_not_changed(loaded: types.ModuleType) -> None:
    rewrite(loaded, "1.5", "22.5")
    importlib.reload(loaded)
    assert changed(loaded) == [False] * 4


def test_function_that_has_no_name_is_judged_by_the_compiled_file(
    loaded: types.ModuleType,
) -> None:
    nameless = [("<lambda>", 3), ("gone", 9)]
    assert changed(loaded, nameless) == [False] * 2
    rewrite(loaded, "1.5", "22.5")
    assert changed(loaded, nameless) == [True] * 2
    # Without a compiled file, there is no such function in the source.
    assert loaded.__spec__ is not None
    assert loaded.__spec__.cached is not None
    Path(loaded.__spec__.cached).unlink()
    assert changed(loaded, nameless) == [True] * 2
    assert changed(loaded, nameless, time.time() + 0.9) == [False] * 2


def test_deleted_file_that_was_changed_before_is_changed(
    loaded: types.ModuleType,
) -> None:
    file = str(loaded.__file__)
    rewrite(loaded, "1.5", "2.5")
    assert linecache.getlines(file)  # as a traceback does
    Path(file).unlink()
    for started in (LONG_AGO, time.time() - 60, time.time() + 60):
        assert changed(loaded, started=started) == [False, True, False, False]
    position = "f.<locals>.inner", file, 4, 5, 5, 15, 30
    assert SourceTexts(later(), time.time()).text(position) == ""


def test_code_of_a_module_itself_runs_while_it_is_loaded(
    loaded: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(loaded, "import functools", "import functools\n")
    module = [("<module>", 0)]
    assert changed(loaded, module) == [False]
    monkeypatch.setattr(loaded, "__name__", "__main__")
    monkeypatch.setattr(loaded, "__spec__", None)
    assert changed(loaded, module) == [True]
    assert changed(loaded, module, time.time() + 0.9) == [False]


def test_code_that_another_loader_changed_is_not_compared(
    loaded: types.ModuleType,
) -> None:
    vars(loaded)["__loader__"] = object()
    rewrite(loaded, "1.5", "2.5")  # of the same length: the compiled file agrees
    assert changed(loaded) == [False] * 4


def test_file_of_no_module_is_judged_by_the_positions_that_it_has(file: str) -> None:
    places = positions(SOURCE, "f")
    for started in (LONG_AGO, time.time() + 0.9):
        texts = SourceTexts(later(), started)
        assert not any(texts.changed(("f", file, 1, *place)) for place in places)
        assert texts.text(("f", file, 1, 2, 2, 27, 44)) == "row.tolist(höhe)"
        for wrong in (("f", file, 2, *places[0]), ("g", file, 1, *places[0])):
            assert texts.changed(wrong) is (started == LONG_AGO)
    moved = "f", file, 1, 2, 2, 26, 43
    assert SourceTexts(later(), LONG_AGO).changed(moved)
    nowhere = "f", "/nowhere/at/all.py", 1, 1, 1, 0, 5
    assert not SourceTexts(later(), LONG_AGO).changed(nowhere)


def test_process_may_have_begun_a_tick_after_the_time_that_is_known(file: str) -> None:
    wrong = "g", file, 1, *positions(SOURCE, "f")[0]
    modified = Path(file).stat().st_mtime
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert not SourceTexts(later(), modified - 0.5 * tick).changed(wrong)
    assert SourceTexts(later(), modified - 2 * tick).changed(wrong)


def test_start_of_the_process_is_known() -> None:
    before = time.time()
    code = "from gilx.sampling import source_text as s; print(s._STARTED)"
    done = run_python("-c", code, check=True, timeout=60)
    assert before - 1 < float(done.stdout) < time.time() + 1


# ---- extension modules --------------------------------------------------------------------


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    made = types.ModuleType("made_up_features")
    made.__file__ = "/nowhere/features.py"
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def library(
    module: types.ModuleType, text: str, function: str = "<module>", first_line: int = 1
) -> str:
    assert isinstance(module.__file__, str)
    return SourceTexts(0.0).library(text, module.__file__, function, first_line)


def test_call_of_an_extension_module_has_its_file(module: Any) -> None:
    from gilx import ckernels

    module.spin, module.ckernels, module.Counter = (
        ckernels.spin,
        ckernels,
        ckernels.Counter,
    )
    module.counter = ckernels.Counter(0, 3)
    for text in (
        "spin(1, 2)",
        "ckernels.spin(1)",
        "Counter(3)",
        "Counter.take(c)",
        "counter.take()",
    ):
        assert library(module, text) == ckernels.__file__, text


class Hostile:
    """Object that complains of every look at it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)


class HostileModule(types.ModuleType):
    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(name)


def test_other_calls_have_none_and_run_no_code(module: Any) -> None:
    module.hostile, module.package = Hostile(), HostileModule("package")
    module.python = later
    module.sqrt, module.zlib = math.sqrt, zlib
    for text in (
        "python()",
        "hostile.method()",
        "hostile()",
        "package.sub.f()",
        "row.tolist()",
        "sorted(x)",
        "f(x)(y)",
        "x + y",
        "",
        "a.b",
        "(a)()",
        "None.f()",
    ):
        assert library(module, text) == "", text
    assert SourceTexts(0.0).library("sqrt(2)", "/nowhere/else.py", "<module>", 1) == ""


CALLERS = """\
import functools

def uses():
    return spin(1)

def takes(spin):
    return spin(1)

def outer(spin):
    def inner():
        return spin(1)
    return inner

def nested():
    def inner():
        return spin(1)
    return inner

class Class:
    @staticmethod
    def uses():
        return spin(1)

    @property
    def takes(self, spin=None):
        return spin(1)

@functools.lru_cache
def cached():
    return spin(1)

replaced = uses
def replaced(spin): return spin(1)
"""


@pytest.mark.parametrize(
    ("function", "first_line", "is_known"),
    [
        ("uses", 3, True),
        ("takes", 6, False),
        ("outer.<locals>.inner", 10, False),
        ("nested.<locals>.inner", 15, True),
        ("Class.uses", 20, True),
        ("Class.takes", 24, False),
        ("cached", 28, True),
        ("replaced", 3, False),
        ("gone", 3, False),
        ("Class.gone", 3, False),
        ("hostile.f", 3, False),
        ("hostile", 3, False),
    ],
)
def test_name_of_a_variable_of_the_calling_function_is_no_module_s(
    function: str, first_line: int, is_known: bool, module: Any
) -> None:
    from gilx import ckernels

    exec(CALLERS, vars(module))
    module.spin, module.hostile = ckernels.spin, Hostile()
    expected = ckernels.__file__ if is_known else ""
    assert library(module, "spin(1)", function, first_line) == expected
