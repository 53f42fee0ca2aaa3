"""The Python in the README and in docs/ runs, and so do the examples."""

from __future__ import annotations

import importlib.util
import re
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
can_watch = gil_enabled() and sys.platform == "linux"


@pytest.mark.parametrize("code", BLOCKS)
def test_code_of_pages(code: str, tmp_path: Path) -> None:
    if not can_watch and re.search(r"gilx\.(watch|probe)\(", code):
        pytest.skip("there is no GIL to watch")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_pages_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "script", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem
)
def test_examples(script: Path) -> None:
    if "dask" in script.stem and importlib.util.find_spec("distributed") is None:
        pytest.skip("needs distributed")
    subprocess.run([sys.executable, script], check=True, timeout=60)
