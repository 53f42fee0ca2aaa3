"""The pages on bindings: their commands lead from an empty folder to a released GIL."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from gilx._compat import gil_enabled
from tests.command import run_program
from tests.docs.pages import ROOT, blocks

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python

BINDINGS = "From an empty folder"
# Modules and programs that the sections of pages need.
NEEDED: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("releasing", "C"): (("setuptools",), ("cc",)),
    ("releasing", "Cython"): (("Cython", "setuptools"), ("cc",)),
    ("bindings/cffi", BINDINGS): (("cffi", "setuptools"), ("cc",)),
    ("bindings/ctypes", BINDINGS): ((), ("cc",)),
    ("bindings/nanobind", BINDINGS): (("nanobind",), ("c++", "cmake", "make")),
    ("bindings/numba", BINDINGS): (("numba",), ()),
    ("bindings/pybind11", BINDINGS): (("pybind11", "setuptools"), ("c++",)),
    ("bindings/pyo3", BINDINGS): ((), ("cargo",)),
}


def test_there_are_six_pages_on_bindings() -> None:
    pages = {path.stem for path in ROOT.glob("docs/bindings/*.md")} - {"index"}
    assert {f"bindings/{page}" for page in pages} | {"releasing"} == {
        page for page, _ in NEEDED
    }
    assert len(pages) == 6


def commands(folder: Path) -> dict[str, str]:
    """Return an environment in which ``python`` and ``gilx`` are those of the tests."""
    folder.mkdir()
    for name, words in (("python", ""), ("gilx", "-m gilx")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        path.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def has_crates(folder: Path) -> bool:
    """Return whether cargo can build without the network."""
    return run_program("cargo", "fetch", "--offline", cwd=folder).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("page", "title"), NEEDED)
def test_page_on_bindings_leads_to_a_released_gil(
    page: str, title: str, tmp_path: Path
) -> None:
    modules, programs = NEEDED[page, title]
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}")
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}")
    text = (ROOT / "docs" / f"{page}.md").read_text()
    section = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    environment, folder = commands(tmp_path / "bin"), tmp_path / "folder"
    folder.mkdir()
    printed = ""
    for file, language, block in blocks(section):
        if file:
            (folder / file).write_text(block)
            continue
        assert language == "sh"
        if "cargo build" in block and not has_crates(folder):
            pytest.skip("needs PyO3's crates: cargo fetch")
        has_watch = gil_enabled() and sys.platform == "linux"
        lines = [
            line
            for line in block.splitlines()
            if has_watch or not line.startswith("gilx probe")
        ]
        shell = ("sh", "-e", "-c", "\n".join(lines))
        done = run_program(*shell, check=True, timeout=300, cwd=folder, env=environment)
        printed += done.stdout
    if gil_enabled():
        # Or the sampler had no CPU, as it may happen to a user.
        words = "releases the GIL for|inconclusive: samples were late"
        assert re.search(words, printed), printed
    assert re.search(r"\b[12] (passed|skipped)", printed)
