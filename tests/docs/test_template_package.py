"""The package to start from builds, and its tests say what the documentation shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.markers import needs_c_compiler

TEMPLATE = Path(__file__).parents[2] / "examples" / "your_extension"
# It is built with what is installed: isolated, pip would fetch what it needs.
NEEDED = {"Cython": 3, "setuptools": 77, "pip": 0}


def is_installed(name: str, major: int) -> bool:
    try:
        return int(version(name).partition(".")[0]) >= major
    except PackageNotFoundError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.any_python,
    pytest.mark.skipif(
        not all(is_installed(*each) for each in NEEDED.items()),
        reason="needs pip, Cython 3 and setuptools 77 or newer",
    ),
    needs_c_compiler,
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a copy of the package, and an environment in which it is installed."""
    place = tmp_path_factory.mktemp("template")
    copy, installed = place / "your_extension", place / "installed"
    shutil.copytree(TEMPLATE, copy)
    words = ["pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--target", installed, copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return copy, {**os.environ, "PYTHONPATH": str(installed)}


def run_tests(
    built: tuple[Path, dict[str, str]], *words: str
) -> tuple[str, dict[str, int]]:
    copy, environment = built
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=copy,
        env=environment,
        timeout=110,
    )
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)
    return done.stdout, {word: int(count) for count, word in counts}


def test_its_tests(built: tuple[Path, dict[str, str]]) -> None:
    said, found = run_tests(built, "--gilx-budget=15")
    # A busy machine may skip what is asked of it, but no function is called bad.
    assert not found.keys() & {"failed", "error"}, said
    assert found["passed"] >= 1, said
    assert "test_mix_releases_the_gil (releases_gil, " in said


def test_the_wrong_function(built: tuple[Path, dict[str, str]]) -> None:
    said, found = run_tests(built, "tests/wrong.py")
    if "skipped" in found:  # no GIL, or no time to look
        assert "inconclusive: tests/wrong.py::" in said
        return
    assert found["failed"] == 1, said
    assert "mean_distance_wrong: fail: releases the GIL for " in said
    assert "a function marked nogil only may be called without the GIL" in said
