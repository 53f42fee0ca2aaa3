"""The public interface is what is written down, and changes there on purpose only."""

from __future__ import annotations

from tests.unit.interface import PLACE, interface


def test_interface_is_the_one_written_down() -> None:
    # Where they differ: python -m tests.unit.interface
    assert interface().splitlines() == PLACE.read_text().splitlines()
