"""A fixture that makes up verdicts, so that every outcome comes when it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

import gilx.testing
from tests.integration.pytest_plugin.plugin_runs import JUDGES


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks give the verdict that the callable returns."""
    names: dict[str, Any] = {}
    exec(JUDGES, names)
    for function, what in (
        ("judge_release", "releases_gil"),
        ("judge_hold", "holds_gil"),
        ("judge_scaling", "scales"),
    ):
        monkeypatch.setattr(gilx.testing, function, names["judge"](what))
