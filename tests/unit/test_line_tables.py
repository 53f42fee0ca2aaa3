"""Positions of instructions in the source, decoded by the sampler and by Python."""

from __future__ import annotations

import importlib.util
import marshal
import subprocess
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

import pytest

from tests.markers import needs_linux

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [needs_linux, pytest.mark.concurrent_callers]

MODULES = [
    "argparse",
    "ast",
    "asyncio.base_events",
    "asyncio.tasks",
    "bdb",
    "calendar",
    "cmd",
    "codecs",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "difflib",
    "doctest",
    "email.message",
    "enum",
    "fractions",
    "functools",
    "gettext",
    "heapq",
    "http.client",
    "inspect",
    "json.decoder",
    "locale",
    "logging",
    "mailbox",
    "optparse",
    "pathlib",
    "pickle",
    "platform",
    "random",
    "statistics",
    "string",
    "tarfile",
    "textwrap",
    "tokenize",
    "traceback",
    "typing",
    "urllib.parse",
    "zipfile",
]

UNITS_EACH = 12
"""Instructions of each code object that are compared."""


def codes_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_of(constant)


def compare(module_code: CodeType) -> int:
    """Compare instructions of a module and return how many there were."""
    from gilx.sampling._sampler import _locate

    compared = 0
    for code in codes_of(module_code):
        expected = [
            (line or 0, end_line or 0, *(-1 if at is None else at for at in columns))
            for line, end_line, *columns in code.co_positions()
        ]
        count = len(expected)
        for unit in {*range(0, count, count // UNITS_EACH + 1), count - 1}:
            found = _locate(code.co_linetable, code.co_firstlineno, unit)
            assert found == expected[unit], (code, unit)
            compared += 1
        assert _locate(code.co_linetable, code.co_firstlineno, count) is None
    return compared


@pytest.mark.parametrize("name", MODULES)
def test_position_in_standard_library_is_the_one_that_python_finds(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    loader: Any = spec.loader
    code = loader.get_code(name)
    assert compare(code) > 5  # some modules only import another one


def test_position_without_columns_is_the_one_that_python_finds() -> None:
    program = (
        "import inspect, marshal, sys\n"
        "code = compile(inspect.getsource(inspect), 'inspect', 'exec')\n"
        "sys.stdout.buffer.write(marshal.dumps(code))\n"
    )
    command = [sys.executable, "-X", "no_debug_ranges", "-c", program]
    code = marshal.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert all(position[2] is None for position in code.co_positions())
    assert compare(code) > 1000


def test_position_in_long_expression_is_the_one_that_python_finds() -> None:
    far = "\n" * 100_000
    wide = " " * 5_000
    code = compile(f"def f():{far}  return ({wide}g(1),{far}{wide} h(2))", "", "exec")
    (function,) = (code for code in codes_of(code) if code.co_name == "f")
    columns = {position[2] for position in function.co_positions()}
    assert any(column is not None and column > 5_000 for column in columns)
    assert compare(code) > 4


@pytest.mark.parametrize(
    "table", [b"", b"\0", b"\x80", b"\xf0\x02", b"\xf0" + b"\x7f" * 30]
)
def test_table_that_python_never_makes_has_no_position(table: bytes) -> None:
    from gilx.sampling._sampler import _locate

    assert _locate(table, 1, 0) is None


def test_line_table_that_is_not_bytes_raises_type_error() -> None:
    from gilx.sampling._sampler import _locate

    with pytest.raises(TypeError, match="must be bytes"):
        _locate("table", 1, 0)  # type: ignore[arg-type] # on purpose
