"""Who types what a page shows, from an empty folder, ends with a test that passes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from gilx._compat import gil_enabled
from tests.command import run_program
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python


class Way(NamedTuple):
    """A section that is followed, and what it needs."""

    page: str
    section: str
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()

    @property
    def is_everywhere(self) -> bool:
        """Whether what it needs is installed wherever the tests are."""
        return set(self.modules) <= {"setuptools", "Cython"}

    def __str__(self) -> str:
        return f"{self.page.removesuffix('.md')}-{self.section}"


BINDINGS = "From an empty folder"
WAYS = [
    Way("releasing.md", "C", ("setuptools",), ("cc",)),
    Way("releasing.md", "Cython", ("setuptools", "Cython"), ("cc",)),
    Way("bindings/pybind11.md", BINDINGS, ("setuptools", "pybind11"), ("c++",)),
    Way("bindings/nanobind.md", BINDINGS, ("nanobind",), ("c++", "cmake", "make")),
    Way("bindings/pyo3.md", BINDINGS, (), ("cargo",)),
    Way("bindings/numba.md", BINDINGS, ("numba",)),
    Way("bindings/ctypes.md", BINDINGS, (), ("cc",)),
    Way("bindings/cffi.md", BINDINGS, ("setuptools", "cffi"), ("cc",)),
]


def test_all_pages_on_bindings_are_followed() -> None:
    pages = {f"bindings/{path.name}" for path in ROOT.glob("docs/bindings/*.md")}
    assert pages <= {way.page for way in WAYS}


# What takes no package that is seldom there is left to the stage that has the machine.
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            way, id=str(way), marks=[pytest.mark.slow] if way.is_everywhere else []
        )
        for way in WAYS
    ],
)
def test_who_types_what_is_shown_releases_the_gil(way: Way, tmp_path: Path) -> None:
    """Write the files of a section and run its commands, in an empty folder."""
    for module in way.modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    for program in way.programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    text = (ROOT / "docs" / way.page).read_text()
    section = text.split(f"\n## {way.section}\n")[1].split("\n## ")[0]
    # What the first commands of the page would have installed is this Python's.
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, words in (("python", ""), ("gilx", "-m gilx")):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
    ran = []
    for file, kind, block in blocks(section):
        if file:
            (folder / file).write_text(block)
            continue
        assert kind == "sh"
        if "cargo build" in block and not crates_are_here(folder):
            pytest.skip("needs PyO3's crates: cargo fetch")
        if not (gil_enabled() and sys.platform == "linux"):
            block = re.sub("^gilx probe .*", "", block, flags=re.MULTILINE)  # noqa: PLW2901
        done = run_program(
            "sh", "-e", "-c", block, timeout=300, cwd=folder, env={**os.environ, **path}
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        ran.append(done.stdout)
    assert re.search(r"\d (passed|skipped)", ran[-1])


def crates_are_here(folder: Path) -> bool:
    """Return whether cargo can build without the network, as tests must."""
    words = ["cargo", "fetch", "--offline"]
    done = run_program(*words, cwd=folder, timeout=60)
    return done.returncode == 0
