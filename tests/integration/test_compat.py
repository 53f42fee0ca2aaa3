"""The private attributes of CPython that gilx uses are what it takes them for."""

from __future__ import annotations

import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gilx import _compat
from tests.command import run_python


def answer(code: str, *options: str) -> str:
    """Return what a new Python prints of what a name of the module returns."""
    return run_python(
        *options, "-c", f"from gilx._compat import *; print({code})", check=True
    ).stdout.strip()


def test_a_build_with_the_gil_has_it() -> None:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        assert _compat.gil_enabled()


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build"
)
@pytest.mark.parametrize("value", [0, 1])
def test_gil_of_a_free_threaded_build_follows_the_option(value: int) -> None:
    assert answer("gil_enabled()", "-X", f"gil={value}") == str(bool(value))


def test_options_of_the_interpreter_are_handed_on() -> None:
    given = ("-X", "dev", "-W", "ignore", "-B")
    options = answer("' '.join(interpreter_options())", *given)
    assert {"-Xdev", "-B", "-Wignore"} <= set(options.replace("-X dev", "-Xdev").split())


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build"
)
@pytest.mark.parametrize("value", ["0", "1"])
def test_gil_is_handed_on(value: str) -> None:
    options = answer("' '.join(interpreter_options())", "-X", f"gil={value}").split()
    assert options.count(f"gil={value}") == 1
    assert "gil" not in answer("' '.join(interpreter_options())")


def test_values_of_x_options_are_read() -> None:
    assert answer("x_option('gilx'), x_option('dev')", "-X", "gilx=5", "-X", "dev") == (
        "5 True"
    )
    assert answer("x_option('gilx')") == "None"


def test_only_the_thread_that_took_a_lock_owns_it() -> None:
    lock = threading.RLock()
    assert not _compat.owns(lock)
    with ThreadPoolExecutor(1) as other, lock:
        assert _compat.owns(lock)
        assert not other.submit(_compat.owns, lock).result()
