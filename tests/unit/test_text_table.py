"""Numbers and tables as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import (
    format_table,
    rounded,
    shortened,
    shortened_path,
    table_with_remarks,
)

if TYPE_CHECKING:
    import pytest


def test_rates_have_three_digits_and_no_exponent() -> None:
    numbers = 5.09123e9, 1630.2, 12.34, 0.0123456
    assert list(map(rounded, numbers)) == ["5,090,000,000", "1,630", "12.3", "0.0123"]


def test_tables_fit_their_width() -> None:
    table = format_table(
        ("a", "number", "words"),
        [("x", "1.00", "one two three " * 8)],
        right=(1,),
        width=60,
    )
    assert max(map(len, table.splitlines())) <= 60
    assert table.splitlines()[0] == "a  number  words"
    assert table.splitlines()[1].startswith("x    1.00  one two")


def test_text_is_shortened_with_an_ellipsis() -> None:
    assert shortened("abcdefgh", 8) == shortened_path("abcdefgh", 8) == "abcdefgh"
    assert shortened("abcdefghi", 8) == "abcde..."
    assert shortened_path("abcdefghi", 8) == "...efghi"


HEAD = ("name", "kind", "number")
ROWS = [("x" * 30, "a", "1"), ("", "a", "2"), ("y", "b", "10")]
REMARKS = [["good " * 12], [], ["bad"]]


def test_rows_are_followed_by_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert table_with_remarks(HEAD, ROWS, REMARKS, right=(2,)).splitlines() == [
        "name                            kind  number",
        f"{'x' * 30}  a          1",
        "  good good good good good good good good good",
        "    good good good",
        f"{' ' * 30}  a          2",
        "y                               b         10",
        "  bad",
    ]


def test_names_are_lines_if_a_table_is_too_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    rows = [("x" * 50, *ROWS[0][1:]), ROWS[1], ("y", "k" * 50, "10")]
    assert table_with_remarks(HEAD, rows, [[]] * 3, right=(2,)).splitlines() == [
        "  kind                            number",
        f"{'x' * 37}...",
        "  a                                    1",
        "  a                                    2",
        "y",
        f"  {'k' * 27}...      10",
    ]
