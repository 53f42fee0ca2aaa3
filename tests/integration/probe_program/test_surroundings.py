"""Names, paths and streams that a program finds under `gilx probe`."""

from __future__ import annotations

import textwrap
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.integration.probe_program.program_runs import PROBE, assert_same, python, write
from tests.markers import needs_watch

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [
    needs_watch,
]


SURROUNDINGS = """
    import sys

    main = sys.modules["__main__"]
    names = vars(main)
    assert names is globals()
    for name in sorted(names):
        if name.startswith("__") and name != "__builtins__":
            value = names[name]
            if name == "__loader__":
                value = type(value), getattr(value, "name", 0), getattr(value, "path", 0)
            print(name, value)
    print(__builtins__, type(main))
    print(sys.argv, sys.path, sys.flags, sys.warnoptions)
    print(sys._getframe().f_code.co_filename, sys._getframe().f_code.co_flags)
    print(sys.stdin.encoding, sys.stdout.encoding, sys.stderr.encoding)
    print(sys.stdin.read())
"""


WORDS = [
    ("script.py",),
    ("./script.py",),
    ("package/../script.py",),
    ("link.py",),
    ("no_ending",),
    ("mark.py",),
    ("latin.py",),
    ("package",),
    ("./package",),
    ("package/",),
    ("whole.zip",),
    ("-m", "package"),
    ("-m", "package.__main__"),
    ("-m", "package.module"),
    ("-m", "outer.package"),
    ("-m", "script"),
]
FLAGS: list[tuple[str, ...]] = [(), ("-P",), ("-X", "dev"), ("-O",)]
# With flags, one of each kind of program is quick enough for every run.
KINDS = {("script.py",), ("package",), ("whole.zip",), ("-m", "package")}


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        pytest.param(
            words,
            flags,
            id=f"{' '.join(words)}-{flags}",
            marks=[pytest.mark.slow] if flags and words not in KINDS else [],
        )
        for words in WORDS
        for flags in FLAGS
    ],
)
def test_program_finds_the_same_surroundings(
    words: tuple[str, ...], flags: tuple[str, ...], tmp_path: Path
) -> None:
    text = textwrap.dedent(SURROUNDINGS)
    for name in (
        "script.py",
        "no_ending",
        "package/__main__.py",
        "package/module.py",
        "outer/package/__main__.py",
    ):
        write(tmp_path / name, text)
    write(tmp_path / "package/__init__.py", "print('package', __name__)")
    write(tmp_path / "apart/script.py", text)
    (tmp_path / "link.py").symlink_to("apart/script.py")
    (tmp_path / "mark.py").write_bytes(b"\xef\xbb\xbf" + text.encode())
    latin = f"# coding: latin-1\n{text}\nprint('caf\xe9')"
    (tmp_path / "latin.py").write_bytes(latin.encode("latin-1"))
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("__main__.py", text)
    if "-P" in flags and words[0] == "-m":
        alone = python(*words, cwd=tmp_path, flags=flags)
        watched = python(*PROBE, *words, cwd=tmp_path, flags=flags)
        assert alone.returncode == 1  # modules of the current directory are not found
        assert watched.returncode == 2
        return
    assert_same(
        tmp_path, *words, "a", "--", "--html", "x", "-m", stdin="input", flags=flags
    )


def test_absolute_path_and_compiled_script(tmp_path: Path) -> None:
    import py_compile

    script = write(tmp_path / "there" / "script.py", SURROUNDINGS)
    compiled = py_compile.compile(str(script), cfile=str(tmp_path / "script.pyc"))
    assert compiled is not None
    assert_same(tmp_path, str(script), "a")
    assert_same(tmp_path, "script.pyc", "a")
