"""The README's Python and the examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gilx.environment import gil_enabled

ROOT = Path(__file__).parents[1]


def python_in(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


BLOCKS = python_in("README.md")


def test_the_readme_has_code() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("code", BLOCKS, ids=lambda code: code.split("\n")[0])
def test_readme_code(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("code", python_in("docs/convoy.md"), ids=range(3))
def test_code_of_the_page_on_convoys(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_code_of_the_page_on_measuring() -> None:
    (code,) = python_in("docs/measuring.md")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.skipif(
    not gil_enabled() or sys.platform != "linux", reason="there is no GIL to watch"
)
def test_watching_code(tmp_path: Path) -> None:
    (code,) = python_in("docs/watching.md")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=tmp_path)
    assert (tmp_path / "trace.json").exists()


def test_links_of_the_readme_resolve() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize(
    "script", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.stem
)
def test_examples(script: Path) -> None:
    subprocess.run([sys.executable, script], check=True, timeout=60)
