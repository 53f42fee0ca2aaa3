"""Pages and plots that commands write."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from gilx._compat import gil_enabled
from tests.command import CompletedProcess, run_here, run_python
from tests.page_parser import Page

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.any_python


def gilx(*arguments: str, cwd: Path, blocked: str = "") -> CompletedProcess:
    code = (
        f"import sys\nfor name in {blocked.split()!r}: sys.modules[name] = None\n"
        "from gilx.cli import main\nsys.exit(main())"
    )
    return run_python("-c", code, *arguments, cwd=cwd)


MISSING = "pages need vl-convert: pip install 'gilx[html]'"


@pytest.mark.parametrize(
    "words",
    [
        ("measure", "time:sleep", "0.001", "--html", "x.html"),
        ("probe", "--html", "x.html", "time:sleep", "0.001"),
    ],
    ids=["measure", "probe"],
)
def test_a_command_without_the_library_measures_nothing(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    done = gilx(*words, cwd=tmp_path, blocked="vl_convert")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"gilx {words[0]}: {MISSING}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_demo_without_the_library_tells_the_rest(tmp_path: Path) -> None:
    words = ("demo", "--quick", "--chapter", "8", "--html", "x.html")
    done = gilx(*words, cwd=tmp_path, blocked="vl_convert")
    assert done.returncode == 1
    assert done.stderr == f"gilx demo: html: {MISSING}\n"
    assert "8. A free-threaded build" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_picture_without_the_library_is_one_line(tmp_path: Path) -> None:
    words = ("measure", "time:sleep", "0.001", "--blocks", "1", "--plot", "x.png")
    done = gilx(*words, cwd=tmp_path, blocked="vl_convert")
    assert done.returncode == 1
    assert done.stderr == (
        "gilx measure: pictures need vl-convert: pip install 'gilx[plot]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_pages_of_the_commands(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    done = gilx("demo", "--quick", "--chapter=2,8", "--html=x.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Page((tmp_path / "x.html").read_text()).tags("h2") == ["h2", "h2"]
    words = ("measure", "time:sleep", "0.001", "--blocks=2", "--html=x.html")
    done = gilx(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "Speedups of time:sleep(0.001)" in Page((tmp_path / "x.html").read_text()).words
    )
    if gil_enabled() and sys.platform == "linux":
        done = gilx("probe", "time:sleep", "0.01", "--html", "x.html", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Timeline of threads" in Page((tmp_path / "x.html").read_text()).words
    assert [path.name for path in tmp_path.iterdir()] == ["x.html"]


@pytest.mark.parametrize("command", ["demo", "measure", "probe"])
@pytest.mark.parametrize("path", ["there", "no/where.html", "-", ""])
def test_a_file_that_can_not_be_is_told_at_once(
    command: str,
    path: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if path == "no/where.html":
        pytest.importorskip("vl_convert")
    (tmp_path / "there").mkdir()
    target = {"demo": ("--quick",), "measure": ("triad",), "probe": ("time:sleep", "1")}
    monkeypatch.chdir(tmp_path)
    done = run_here(capsys, command, *target[command], f"--html={path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"gilx {command}: html: [^\n]*\n", done.stderr)
    assert repr(path) in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["there"]
