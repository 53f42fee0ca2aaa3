"""The directory that `gilx demo --save` writes, and its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gilx.demo.output_directory import draw, new_directory
from gilx.errors import ArgumentError
from tests.demo_records import story

if TYPE_CHECKING:
    from pathlib import Path


def test_a_directory_appears_when_it_is_complete(tmp_path: Path) -> None:
    wanted = tmp_path / "new"
    with new_directory(str(wanted)) as directory:
        (directory / "file").write_text("x")
        assert not wanted.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (wanted / "file").read_text() == "x"
    with (
        pytest.raises(
            ArgumentError, match="save: expected a directory that is not there"
        ),
        new_directory(str(wanted)),
    ):
        pass


def fail_in(directory: Path) -> None:
    with new_directory(str(directory)) as inside:
        (inside / "file").write_text("x")
        raise ZeroDivisionError


def test_nothing_is_left_of_a_directory_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_came_meanwhile_stays(tmp_path: Path) -> None:
    wanted = tmp_path / "new"

    def take_the_name() -> None:
        with new_directory(str(wanted)):
            wanted.mkdir()
            (wanted / "mine").write_text("x")

    with pytest.raises(ArgumentError, match="save: can't make the directory"):
        take_the_name()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (wanted / "mine").read_text() == "x"


def test_every_picture_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = 0
    for number, _, chapter in story().chapters():
        picture = chapter.picture()
        if picture is not None:
            figure = draw(picture, f"{number}. {chapter.title}")
            figure.savefig(tmp_path / f"{number}.png")
            drawn += 1
            names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
            assert len(figure.axes[0].patches) == len(names) == len(picture.bars)
            unknown = [name for name in names if name.endswith(": unknown")]
            assert unknown == (["NumPy x: unknown"] if number == 5 else [])
    assert drawn == 6
