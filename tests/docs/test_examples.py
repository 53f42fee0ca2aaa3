"""The examples run as they are, in a moment."""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.command import run_python
from tests.docs.pages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python

# What examples with these words in their names need.
NEEDED = {
    "dask": "distributed",
    "numba": "numba",
    "cython": "Cython",
    "pandas": "pandas",
}
# Scripts that measure for some seconds take `--quick`, with which they take less.
QUICK = {"choose_a_pool", "pandas_pipeline", "image_filter", "server"}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=[pytest.mark.slow] if path.stem in QUICK else [],
        )
        for path in sorted(ROOT.glob("examples/*.py"))
    ],
)
def test_examples(script: Path, tmp_path: Path) -> None:
    for word, module in NEEDED.items():
        if word in script.stem and importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    if "team_with_c" in script.stem and shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    words = ["--quick"] if script.stem in QUICK else []
    run_python(script, *words, check=True, cwd=tmp_path)
