"""The directory that `gilx demo --save` writes, and its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gilx.demo.output_directory import new_directory, save_pictures
from gilx.errors import ArgumentError
from tests.demo_records import demo_record
from tests.markers import needs

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


@needs("vl_convert")
def test_pictures_of_a_demo(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    paths = save_pictures(demo_record(), tmp_path)
    assert [path.name[0] for path in paths] == list("123456")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
