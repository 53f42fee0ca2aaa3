"""The page about flaky tests: the patterns that it calls vacuous are that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command import run_python
from tests.docs.pages import ROOT, blocks
from tests.markers import needs_gil

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python

PATTERNS = {
    block.file: block.text
    for block in blocks((ROOT / "docs" / "flaky_tests.md").read_text())
    if block.file
}
CALL, HELD = "hashlib.sha256(DATA)", "sum(range(5_000_000))"
FLAKY = "test_ratio.py"  # it may fail here as well as anywhere


def test_page_has_five_patterns() -> None:
    assert len(PATTERNS) == 5
    assert all(text.count(CALL) == 1 for text in PATTERNS.values())
    compile(PATTERNS[FLAKY], FLAKY, "exec")


@needs_gil
@pytest.mark.parametrize("name", sorted(PATTERNS.keys() - {FLAKY}))
def test_vacuous_pattern_passes_although_the_call_holds_the_gil(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(PATTERNS[name].replace(CALL, HELD))
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", name)
    done = run_python(*words, cwd=tmp_path, check=True)
    assert "1 passed" in done.stdout
    is_unseen = "AssertionError" in done.stdout and "UnhandledThread" in done.stdout
    assert is_unseen == (name == "test_side_thread.py")
