"""The Python in the README and in docs/ runs, and so do the examples."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gilx.environment import gil_enabled

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    )
]
# What examples with these words in their names need.
NEEDED = {"dask": "distributed", "numba": "numba", "cython": "Cython"}
can_watch = gil_enabled() and sys.platform == "linux"


@pytest.mark.parametrize("code", BLOCKS)
def test_code_of_pages(code: str, tmp_path: Path) -> None:
    if not can_watch and re.search(r"gilx\.(watch|probe)\(", code):
        pytest.skip("there is no GIL to watch")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)


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
