"""Memory that workers share."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from mmap import mmap

import pytest

from gilx.pools.shared_memory import anonymous_file
from tests.markers import needs_linux

pytestmark = [
    needs_linux,
    pytest.mark.thread_unsafe(reason="changes the module os and the process's limits"),
]


@pytest.fixture(params=["os", "C library"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files made by the module os, or as on a Python that was built without it."""
    if request.param == "C library":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    elif not hasattr(os, "memfd_create"):
        pytest.skip("this Python was built without os.memfd_create")


@pytest.mark.usefixtures("source")
def test_anonymous_file_is_zeros_and_closed_in_other_programs() -> None:
    with anonymous_file(10_000) as file:
        assert file.read() == bytes(10_000)
        assert not os.get_inheritable(file.fileno())
        assert os.readlink(f"/proc/self/fd/{file.fileno()}") == "/memfd:gilx (deleted)"
        with mmap(file.fileno(), 10_000) as memory:
            memory[9_999] = 7
        assert os.pread(file.fileno(), 1, 9_999) == b"\x07"


@pytest.mark.usefixtures("source")
def test_anonymous_file_beyond_the_limit_of_open_files_is_an_error() -> None:
    assert ctypes.CDLL(None)  # loading it opens files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as raised:
            anonymous_file(1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.errno == errno.EMFILE
