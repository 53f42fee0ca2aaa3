"""The public interface is what is written down, and changes there on purpose only."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import gilx
from tests.unit.interface import PLACE, interface


def test_interface_is_the_one_written_down() -> None:
    missing = [] if importlib.util.find_spec("distributed") else ["gilx.dask"]
    expected = PLACE.read_text()
    for name in missing:
        expected = re.sub(rf"^# {name}\n(.+\n)+\n", "", expected, flags=re.MULTILINE)
    # Where they differ: python -m tests.unit.interface
    assert interface(missing).splitlines() == expected.splitlines()


def test_stub_imports_each_public_name_from_its_module() -> None:
    tree = ast.parse(Path(gilx.__file__).with_suffix(".pyi").read_text())
    modules = {
        alias.asname: node.module
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    # Other public names are modules of the package itself.
    names = {*vars(gilx)["__all__"]} - {"__version__"}
    homes: dict[str, str] = vars(gilx)["_HOMES"]
    assert modules == {name: homes.get(name, "gilx") for name in names}
