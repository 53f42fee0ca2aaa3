"""Extension modules that do not declare that they can do without the GIL."""

from __future__ import annotations

import subprocess
import sysconfig
from typing import TYPE_CHECKING

import pytest

from gilx._compat import gil_enabled

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["build", "needs_undeclared_extension"]

needs_undeclared_extension = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED") or gil_enabled(),
    reason="needs a free-threaded build, on which an import turns the GIL on",
)

_SOURCE = """
#include <Python.h>
static int import(PyObject *module)
{{
    {in_exec}
    return 0;
}}
static struct PyModuleDef_Slot slots[] = {{{{Py_mod_exec, import}}, {declared} {{0, NULL}}}};
static struct PyModuleDef definition = {{
    PyModuleDef_HEAD_INIT, .m_name = "{name}", .m_slots = slots}};
PyMODINIT_FUNC PyInit_{name}(void)
{{
    {in_init}
    return PyModuleDef_Init(&definition);
}}
"""
_IMPORT = (
    'PyObject *m = PyImport_ImportModule("{}"); if (m == NULL) return {}; Py_DECREF(m);'
)


def build(
    directory: Path, name: str, *, declared: bool = False, init_imports: str = ""
) -> Path:
    """Compile an extension module, and return its file.

    It declares that it can do without the GIL if `declared`, and imports another module
    while it is being initialized if `init_imports` names one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    source = directory / f"{name}.c"
    source.write_text(
        _SOURCE.format(
            name=name,
            declared="{Py_mod_gil, Py_MOD_GIL_NOT_USED}," if declared else "",
            in_exec="(void)module;",
            in_init=_IMPORT.format(init_imports, "NULL") if init_imports else "",
        )
    )
    file = directory / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = sysconfig.get_path("include")
    command = ["cc", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(file)]
    subprocess.run(command, check=True)
    return file
