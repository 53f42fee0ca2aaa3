"""Imports between modules: never in a circle, never of a higher part."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import gilx

pytestmark = pytest.mark.any_python

HOME = Path(gilx.__file__).parent
# From the lowest rank to the highest; the parts of a rank are equals.
RANKS = [
    {"_compat", "errors", "estimate", "formatting", "native_threads"},
    {"callable_lookup", "files", "owned_file", "records"},
    {"system"},
    {"kernels", "ckernels", "cykernels"},
    {"pools"},
    {"sampling", "speedup"},
    {"rendering"},
    {"testing", "audit", "prometheus", "dask"},
    {"demo"},
    {"pytest_plugin", "cli", "notebook", "__main__"},
]


def modules() -> dict[str, Path]:
    found = {}
    for path in HOME.rglob("*.py"):
        words = ("gilx", *path.relative_to(HOME).with_suffix("").parts)
        found[".".join(words[:-1] if words[-1] == "__init__" else words)] = path
    return found


def imported(tree: ast.AST, known: set[str], *, deep: bool) -> set[str]:
    """Return the modules of `known` that a file imports when it is loaded.

    Imports for types only are no imports; those in functions come later, and are part of
    it if `deep`.
    """
    found: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                found |= imported(other, known, deep=deep)
        elif deep or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found |= imported(node, known, deep=deep)
    # A name from a package is taken from its module, which may be what was meant.
    exact = {name for name in found if name in known}
    return {
        name
        for name in exact
        if not any(other.startswith(name + ".") for other in exact) or name == "gilx"
    }


def graph(*, deep: bool) -> dict[str, set[str]]:
    files = modules()
    return {
        name: imported(ast.parse(path.read_text()), set(files), deep=deep) - {name}
        for name, path in files.items()
    }


def rank(name: str) -> int:
    part = name.split(".")[1]
    return next(number for number, parts in enumerate(RANKS) if part in parts)


@pytest.mark.parametrize("deep", [False, True])
def test_no_module_imports_itself_in_the_end(deep: bool) -> None:
    # The package's own names are loaded when they are used.
    needs = {
        name: others - {"gilx"}
        for name, others in graph(deep=deep).items()
        if name != "gilx"
    }
    tuple(TopologicalSorter(needs).static_order())


def test_lower_parts_never_import_higher_ones() -> None:
    edges = graph(deep=True)
    assert edges["gilx.records"] == {"gilx.errors", "gilx.estimate"}
    wrong = [
        f"{name} imports {other}"
        for name, others in edges.items()
        for other in others
        if "gilx" not in (name, other) and rank(other) > rank(name)
    ]
    assert not wrong
