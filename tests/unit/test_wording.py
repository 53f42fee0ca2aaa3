"""The search for wordings that gilx does not use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.wording import faults

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python


@pytest.mark.parametrize(
    ("text", "line", "match", "instead"),
    [
        ('def f():\n    """What it does."""\n', 2, '\'"""What\'', "a verb phrase"),
        ('"""Whether it runs."""\n', 1, '\'"""Whether\'', "a verb phrase"),
        ("It came\nlate. A late look is left out.\n", 2, "'late look'", "sample"),
        ("It tells what happened.\n", 1, "'tells what'", "to report"),
        ("Figures are\n# told apart.\n", 2, "'are # told'", "to determine"),
        ("A result is doubtful.\n", 1, "'doubtful'", "inconclusive"),
        ("A null comparison.\n", 1, "'null comparison'", "A/A comparison"),
        ("The Cython twin.\n", 1, "'twin'", "implementation"),
        ("/* There is no\n * room for it. */\n", 2, "'no * room'", "capacity"),
        ("The thread who waits.\n", 1, "'who waits'", "a noun"),
        ("This is no profiler.\n", 1, "'is no profiler'", "is not"),
        ("Half of what the machine lets them.\n", 1, "'machine lets'", "achieves"),
    ],
)
def test_seeded_faults_are_found_with_their_place(
    tmp_path: Path, text: str, line: int, match: str, instead: str
) -> None:
    path = tmp_path / "page.md"
    path.write_text(text)
    found = list(faults(path))
    assert any(
        each.startswith(f"{path}:{line}: ") and match in each and instead in each
        for each in found
    ), found


def test_plain_sentences_have_no_faults(tmp_path: Path) -> None:
    path = tmp_path / "page.py"
    path.write_text(
        '"""Return what was measured, and whether it was late."""\n'
        "# The value is no longer used: there is no sample, so it is unknown.\n"
        "# The thread looks at the clock at each look-up, which beginners may not know.\n"
    )
    assert list(faults(path)) == []
