"""Fixtures of the plugin's tests."""

from __future__ import annotations

from typing import Any

import pytest

import gilx.testing
from tests.integration.pytest_plugin.plugin_runs import JUDGES


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have checks give the verdict that the callable returns, so that every outcome comes."""
    names: dict[str, Any] = {}
    exec(JUDGES, names)
    for function, what in (
        ("judge_release", "releases_gil"),
        ("judge_hold", "holds_gil"),
        ("judge_longest_hold", "longest_hold"),
        ("judge_scaling", "scales"),
    ):
        monkeypatch.setattr(gilx.testing, function, names["judge"](what))


@pytest.fixture(autouse=True)
def without_hypothesis(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leave out Hypothesis's plugin, which imports all of Hypothesis at the end of a run."""
    if "pytester" in request.fixturenames:
        request.getfixturevalue("pytester")  # removes the variable
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
