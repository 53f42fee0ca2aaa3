"""The Python in the README and in docs/ runs, and so do the examples."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gilx.environment import gil_enabled

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
# A block, and the name of a file if the text before it ends with one and a colon.
_BLOCK = re.compile(r"(?:`([\w.]+)`:\n\n)?```(\w+)\n(.*?)```", re.DOTALL)
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (file, language, block) in enumerate(_BLOCK.findall(page.read_text()))
    if language == "python" and not file
]
# What examples with these words in their names need.
NEEDED = {"dask": "distributed", "numba": "numba", "cython": "Cython"}
can_watch = gil_enabled() and sys.platform == "linux"


@pytest.mark.parametrize("code", BLOCKS)
def test_code_of_pages(code: str, tmp_path: Path) -> None:
    if not can_watch and re.search(r"gilx\.(watch|probe)\(", code):
        pytest.skip("there is no GIL to watch")
    if "to_html(" in code:
        pytest.importorskip("vl_convert")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["C", "Cython"])
def test_who_types_what_is_shown_releases_the_gil(language: str, tmp_path: Path) -> None:
    """Write the files of a section and run its commands, in an empty folder."""
    pytest.importorskip("setuptools")
    if language == "Cython":
        pytest.importorskip("Cython")
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    text = (ROOT / "docs" / "releasing.md").read_text()
    section = text.split(f"\n## {language}\n")[1].split("\n## ")[0]
    # What the first commands of the page would have installed is this Python's.
    commands = tmp_path / "commands"
    commands.mkdir()
    for name, words in (("python", ""), ("gilx", "-m gilx")):
        command = commands / name
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        command.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    ran = []
    for file, kind, block in _BLOCK.findall(section):
        if file:
            (folder / file).write_text(block)
            continue
        assert kind == "sh"
        if not can_watch:
            block = re.sub("^gilx probe .*", "", block, flags=re.MULTILINE)  # noqa: PLW2901
        done = subprocess.run(
            ["sh", "-e", "-c", block],
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
            cwd=folder,
            env={**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        ran.append(done.stdout)
    assert re.search(r"\d passed|2 skipped", ran[-1])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize(
    "script", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem
)
def test_examples(script: Path) -> None:
    for word, module in NEEDED.items():
        if word in script.stem and importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    if "team_with_c" in script.stem and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    subprocess.run([sys.executable, script], check=True, timeout=60)
