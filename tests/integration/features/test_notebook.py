"""The magics of notebooks: the usage of a cell, its value, its names and its errors."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.command import run_program
from tests.markers import needs, needs_watch

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.any_python, needs("IPython")]

# In a process of its own: IPython's packages warn of things that are theirs. What a cell
# shows, prints, returns and raises is printed as JSON.
SHELL = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance(colors="nocolor", history_manager=None)
told = []
for cell in json.loads(sys.argv[1]):
    with capture_output() as output:
        done = shell.run_cell(cell, store_history=True)
    error = done.error_in_exec or done.error_before_exec
    told.append({
        "shown": [one.data for one in output.outputs],
        "printed": output.stdout,
        "result": repr(done.result),
        "error": error and f"{type(error).__name__}: {error}",
    })
print(json.dumps(told))
"""
SPIN = "ckernels.spin(10**8, 0, 3 * 10**8)"


def run_cells(*cells: str) -> list[dict[str, Any]]:
    """Return what each cell did in a fresh shell that has loaded the extension."""
    cells = ("%load_ext gilx", "from gilx import ckernels", *cells)
    done = run_program(
        *(sys.executable, "-c", SHELL, json.dumps(cells)), check=True, timeout=60
    )
    told: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert told[0]["error"] is None
    return told[2:]


@needs_watch
def test_cell_has_its_usage_with_lines_its_value_and_its_names() -> None:
    first, second, third = run_cells(
        "x = 3",
        f"%%gilx --cost=0.1 --watch w\ny = x + 1\n{SPIN}\ny * 2",
        f"spins = [one.line for one in w.usage.sites if one.text == {SPIN!r}]\n"
        "y, spins, w.stacks.stacks != ()",
    )
    assert first["error"] is None
    (shown,) = (one for one in second["shown"] if "text/html" in one)
    assert SPIN in shown["text/html"]
    assert "<table" in shown["text/html"]
    assert "held by any thread" in shown["text/plain"]
    assert second["result"] == "8"
    # Lines are counted as in the whole cell.
    assert third["result"] == repr((4, [3], True))


@needs_watch
def test_line_of_a_cell_that_calls_a_library_is_named_by_the_cells_number() -> None:
    call = "json.loads(text)"
    texts, cell = run_cells(
        "import json; text = json.dumps([str(n) for n in range(10)] * 200_000)",
        f"%%gilx\nfor _ in range(5): {call}",
    )
    assert texts["error"] is None
    (shown,) = (one for one in cell["shown"] if "text/plain" in one)
    pattern = rf"called from Cell In\[\d+\]:2 `{re.escape(call)}`"
    assert re.search(pattern, shown["text/plain"])


@needs_watch
def test_line_has_its_usage_and_its_value() -> None:
    first, second = run_cells("z = %gilx 5 + 1", "z")
    assert len(first["shown"]) == 1
    assert second["result"] == "6"


@needs_watch
def test_exception_of_a_cell_is_shown_at_its_line_and_after_the_usage() -> None:
    cell, after = run_cells("%%gilx\ndone = 1\nif done:\n    1 / 0", "done")
    assert cell["error"] == "ZeroDivisionError: division by zero"
    assert len(cell["shown"]) == 1
    words = cell["printed"].splitlines()
    assert any(line.startswith("----> 4     1 / 0") for line in words)
    assert not any("notebook.py" in line for line in words)
    assert after["result"] == "1"


@needs_watch
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%gilx --nope\nx = 1", "expected --cost SHARE or --watch NAME, got '--nope'"),
        ("%%gilx y = 2\nx = 1", "expected nothing after the options of %%gilx, got 'y"),
        ("%gilx --cost 0.1", "expected a statement after %gilx"),
        ("%%gilx --cost much\nx = 1", "--cost: expected a number, got 'much'"),
        ("%%gilx --cost 7\nx = 1", "cost: expected above 0 and at most 0.5, got 7"),
        ("%%gilx --watch 7\nx = 1", "--watch: expected the name of a variable, got '7'"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_runs(cell: str, words: str) -> None:
    refused, after = run_cells(cell, "'x' in globals() or 'y' in globals()")
    assert refused["error"].startswith(f"UsageError: {words}")
    assert refused["shown"] == []
    assert after["result"] == "False"


@needs_watch
def test_refusal_of_a_watch_is_one_line() -> None:
    _, refused = run_cells("%env GILX_STACKS=no", "%gilx x = 1")
    assert refused["error"] == "UsageError: GILX_STACKS: expected off, got 'no'"
    assert refused["shown"] == []


# ---- in Jupyter --------------------------------------------------------------------------

EXECUTE = """
import json, sys, nbclient, nbformat
cells = [nbformat.v4.new_code_cell(text) for text in json.loads(sys.argv[1])]
notebook = nbformat.v4.new_notebook(cells=cells)
client = nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3")
try:
    client.execute()
except nbclient.exceptions.CellExecutionError as error:
    print(f"stopped: {error.ename}", file=sys.stderr)
print(json.dumps([cell["outputs"] for cell in notebook["cells"]]))
"""


@needs("nbclient", "nbformat", "ipykernel")
@needs_watch
def test_jupyter_shows_the_usage_and_stops_at_an_exception(tmp_path: Path) -> None:
    cells = [
        "%load_ext gilx\nfrom gilx import ckernels",
        f"%%gilx\n{SPIN}.wall_ns > 0",
        "%%gilx\n1 / 0",
        "'not reached'",
    ]
    words = [sys.executable, "-c", EXECUTE, json.dumps(cells)]
    done = run_program(*words, check=True, timeout=110, cwd=tmp_path)
    assert "stopped: ZeroDivisionError" in done.stderr
    _, watched, failed, after = json.loads(done.stdout.splitlines()[-1])
    kinds = [one["output_type"] for one in watched]
    assert kinds == ["display_data", "execute_result"]
    assert SPIN in "".join(watched[0]["data"]["text/html"])
    assert [one["output_type"] for one in failed] == ["display_data", "error"]
    assert after == []
