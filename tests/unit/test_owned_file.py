"""Descriptors of our own, which programs close and use for their files."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from gilx.owned_file import OwnedFile, identity, is_same, write_at_once
from tests.markers import needs_linux

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.any_python, needs_linux]


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT)


def test_descriptor_that_became_another_files_is_neither_written_nor_closed(
    tmp_path: Path,
) -> None:
    ours = OwnedFile(opened(tmp_path / "ours"))
    assert ours.write_at_once(b"first")
    other = opened(tmp_path / "other")
    os.dup2(other, ours.descriptor)
    assert not ours.is_own
    assert not ours.write_at_once(b"second")
    ours.close()
    assert os.write(ours.descriptor, b"the program's") == 13  # still open
    os.close(ours.descriptor)
    os.close(other)
    assert (tmp_path / "ours").read_bytes() == b"first"
    assert (tmp_path / "other").read_bytes() == b"the program's"


def test_closed_descriptor_is_not_our_own(tmp_path: Path) -> None:
    ours = OwnedFile(opened(tmp_path / "ours"))
    ours.close()
    assert not ours.is_own
    assert not ours.write_at_once(b"x")
    ours.close()  # nothing happens
    with pytest.raises(OSError, match="Bad file descriptor"):
        OwnedFile(ours.descriptor)


def test_sockets_have_identities() -> None:
    with socket.socket() as one, socket.socket() as other:
        before = identity(one.fileno())
        assert is_same(one.fileno(), before)
        assert not is_same(other.fileno(), before)
        os.dup2(other.fileno(), one.fileno())
        assert not is_same(one.fileno(), before)


def test_full_pipe_gets_what_fits_and_nobody_waits() -> None:
    reader, writer = os.pipe()
    assert write_at_once(writer, b"x" * 10_000)
    assert not write_at_once(writer, b"x" * 1_000_000)
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    assert not write_at_once(writer, b"x")
    assert len(os.read(reader, 5000)) == 5000
    assert write_at_once(writer, b"x")
    os.close(reader)
    assert not write_at_once(writer, b"x")
    os.close(writer)


def test_file_takes_everything(tmp_path: Path) -> None:
    descriptor = opened(tmp_path / "file")
    assert write_at_once(descriptor, b"x" * 100_000)
    os.close(descriptor)
    assert (tmp_path / "file").stat().st_size == 100_000
