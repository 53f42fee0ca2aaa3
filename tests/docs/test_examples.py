"""The examples run as they are, in a moment."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from gilx._compat import gil_enabled
from tests.command import run_program, run_python
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


# In a process of its own: Jupyter's packages warn of things that are theirs.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_notebook_shows_reports_and_timelines(tmp_path: Path) -> None:
    for module in ("nbclient", "nbformat", "ipykernel", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}")
    if not (gil_enabled() and sys.platform == "linux"):
        pytest.skip("there is no GIL to watch")
    given, executed = ROOT / "examples" / "reports.ipynb", tmp_path / "executed.ipynb"
    words = [sys.executable, "-c", EXECUTE, str(given), str(executed)]
    run_program(*words, check=True, timeout=110, cwd=tmp_path)
    shown = {
        "".join(cell["source"]).splitlines()[-1]: output["data"]
        for cell in json.loads(executed.read_text())["cells"]
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
        or output["output_type"] == "display_data"
    }
    assert "<table" in "".join(shown["report"]["text/html"])
    assert "image/png" in shown["report.plot()"]
    assert "<th>held</th>" in "".join(shown["usage"]["text/html"])
    assert "<svg" in "".join(shown["watch.timeline"]["text/html"])
    # What was measured where the notebook was written is nobody else's.
    assert all(not cell.get("outputs") for cell in json.loads(given.read_text())["cells"])
