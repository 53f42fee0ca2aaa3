"""Imports that turn the GIL on while something is measured."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tests.command import run_gilx
from tests.markers import needs_c_compiler
from tests.undeclared_extension import build, needs_undeclared_extension

if TYPE_CHECKING:
    from pathlib import Path


@needs_undeclared_extension
@needs_c_compiler
def test_report_says_that_the_measured_call_turned_the_gil_on(tmp_path: Path) -> None:
    file = build(tmp_path / "package", "_core")
    (tmp_path / "lazy.py").write_text(
        "def work():\n    import package._core\n    return sum(range(10_000))\n"
    )
    environment = {
        name: text for name, text in os.environ.items() if name != "PYTHON_GIL"
    }
    done = run_gilx(
        *("measure", "lazy:work", "--budget=0.3", "--workers=2", "--json=found.json"),
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    words = " ".join(done.stdout.split())
    assert "free-threaded build, GIL on;" in words
    reason = f"loading package._core ({file}) turned it on"
    assert f"* a free-threaded build with the GIL on, as {reason}: look" in words
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["environment"]["gil"]
    assert found["conditions"]["gil"] == f"on: {reason}"
