"""Tables as text."""

from __future__ import annotations

from gilx.formatting import format_table


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
