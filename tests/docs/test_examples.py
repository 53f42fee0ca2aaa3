"""The examples run as they are, in a moment."""

from __future__ import annotations

import importlib.util
import shutil
from typing import TYPE_CHECKING

import pytest

from gilx.sampling.known_stacks import reason_against_stacks
from tests.command import run_python
from tests.docs.pages import ROOT
from tests.markers import needs, needs_watch

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
SLOW = {*QUICK, "team_with_cython"}


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=[pytest.mark.slow] if path.stem in SLOW else [],
        )
        for path in sorted(ROOT.glob("examples/*.py"))
        if path.stem != "asgi_server"
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


@needs_watch
@needs("uvicorn")
def test_monitor_names_the_line_of_the_endpoint_that_stops_a_server() -> None:
    script = ROOT / "examples" / "asgi_server.py"
    done = run_python(script, check=True)
    answers = [line.split()[0] for line in done.stdout.splitlines()[:3]]
    assert answers == ["health", "median", "health"]
    assert "gilx: process" in done.stderr
    assert "the GIL was not released for" in done.stderr
    if not reason_against_stacks():
        lines = script.read_text().splitlines()
        number = next(n for n, line in enumerate(lines, 1) if "sorted(NUMBERS)" in line)
        assert f'asgi_server.py", line {number} in median\n' in done.stderr
        assert f"asgi_server.py:{number} median" in done.stdout
