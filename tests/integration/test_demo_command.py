"""The command `gilx demo`."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gilx._compat import gil_enabled
from gilx.cli import demo
from gilx.demo.echo_process import Courier
from tests.command import CompletedProcess, run_gilx, run_python
from tests.markers import needs_affinity

if TYPE_CHECKING:
    from pathlib import Path


DEADLINE = 60


def test_a_courier_brings_back_what_it_is_given() -> None:
    with closing(Courier()) as courier:
        assert courier.start_seconds > 0
        assert courier.round_trip(bytes(1 << 20)) > 0
        [child] = courier._children.children
        child.process.kill()
        with pytest.raises(OSError, match=r"ended|reset|[Bb]roken"):
            courier.round_trip(b"")


def test_blas_is_pinned_before_numpy_is_loaded_only() -> None:
    code = (
        "import os; from gilx.demo.chapter_5_libraries import pin_blas\n"
        "before = pin_blas(), os.environ.get('OPENBLAS_NUM_THREADS')\n"
        "import numpy; del os.environ['OPENBLAS_NUM_THREADS']\n"
        "print(before, pin_blas())"
    )
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = run_python("-c", code, check=True, env=clean, timeout=DEADLINE)
    assert done.stdout == "(True, '1') False\n"


def command(*arguments: str, **options: Any) -> CompletedProcess:
    return run_gilx("demo", "--quick", *arguments, **options)


@pytest.mark.slow
@needs_affinity
def test_on_one_cpu(tmp_path: Path) -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    before = ("taskset", "-c", cpu)
    done = command("--chapter", "1,2", before=before, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "no speedup is possible here" in words
    assert "losses are rare, but they can happen" in words


def test_without_pandas_and_vl_convert(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('pandas', 'vl_convert', 'threadpoolctl'):\n"
        "    sys.modules[name] = None\n"
    )
    words = ("--chapter", "5", "--save", "new")
    done = command(*words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == f"gilx demo: save: {demo._NO_PICTURES}\n"
    said = " ".join(done.stdout.split())
    assert "pandas is not installed: pip install pandas." in said
    if gil_enabled() and sys.platform == "linux":
        assert "kept to one thread by the environment" in said
        assert "\nNumPy  sort " in done.stdout
    else:
        assert "There is nothing to watch" in said
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "demo.txt",
        "demo.json",
    }
