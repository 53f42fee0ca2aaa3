"""The package to start from: it builds, and its tests report what the documentation shows."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.command import run_python
from tests.markers import needs_c_compiler

TEMPLATE = Path(__file__).parents[2] / "examples" / "your_extension"
# The package is built with what is installed: isolated, pip would download it.
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
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a copy of the package, and an environment in which it is installed."""
    place = tmp_path_factory.mktemp("template")
    copy, installed = place / "your_extension", place / "installed"
    shutil.copytree(TEMPLATE, copy)
    words = ["pip", "install", "--no-build-isolation", "--no-deps", "--no-index"]
    run_python("-m", *words, "--target", installed, copy, check=True)
    return copy, {**os.environ, "PYTHONPATH": str(installed)}


def run_tests(
    template: tuple[Path, dict[str, str]], *words: str
) -> tuple[str, dict[str, int]]:
    """Return the output of the package's tests, and the number of each outcome."""
    copy, environment = template
    options = ("-m", "pytest", "-p", "no:cacheprovider")
    done = run_python(*options, *words, cwd=copy, env=environment, timeout=110)
    counts = re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout)
    return done.stdout, {word: int(count) for count, word in counts}


def test_template_builds_and_its_tests_pass(
    template: tuple[Path, dict[str, str]],
) -> None:
    text, counts = run_tests(template, "--gilx-budget=15")
    # On a busy machine checks may be inconclusive, but no function fails.
    assert not counts.keys() & {"failed", "error"}, text
    assert sum(counts.values()) == 5, text
    assert counts["passed"] >= 1, text
    assert "test_mix_releases_the_gil (releases_gil, " in text


def test_template_fails_if_the_release_was_forgotten(
    template: tuple[Path, dict[str, str]],
) -> None:
    text, counts = run_tests(template, "tests/wrong.py", "--gilx-budget=20")
    if "skipped" in counts:  # there is no GIL, or the machine is busy
        assert "inconclusive: tests/wrong.py::" in text
        pytest.skip("inconclusive")
    assert counts == {"failed": 1}, text
    assert "mean_distance_wrong: fail: releases the GIL for " in text
    assert "a function marked nogil can be called without the GIL" in text
