"""Tests that need a package are skipped without it, as those of gilx are."""

from tests.conftest import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]
