"""The glue between C and Python keeps its promises, and its linter sees who doesn't."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import glue

pytestmark = pytest.mark.once

SOURCES = sorted((Path(__file__).parents[1] / "csrc" / "python").glob("*.c"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_found(source: Path) -> None:
    assert [str(fault) for fault in glue.faults(source.read_text())] == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_way_back_to_python_is_missed(source: Path) -> None:
    text = source.read_text()
    for match in re.finditer(
        r"\bPy_END_ALLOW_THREADS\b|\bPyEval_RestoreThread\([^;]*;"
        r"|\bPyGILState_Release\([^;]*;|\bPyBuffer_Release\(&view\);",
        text,
    ):
        assert glue.faults(text[: match.start()] + ";" + text[match.end() :])


def test_references_in_the_glue_are_missed() -> None:
    """Not all: fields are cleared by one function and filled by another."""
    missed = given_up = 0
    for source in SOURCES:
        text = source.read_text()
        for match in re.finditer(r"\bPy_X?DECREF\([a-z]+\);", text):
            given_up += 1
            missed += bool(glue.faults(text[: match.start()] + ";" + text[match.end() :]))
    assert given_up > 15
    assert missed >= given_up / 2


RELEASED = "static void f(int n) { Py_BEGIN_ALLOW_THREADS %s Py_END_ALLOW_THREADS }"
WITH_VIEW = """
static int fill(PyObject *given, Py_buffer *view) {
    return PyObject_GetBuffer(given, view, PyBUF_SIMPLE);
}
static PyObject *f(PyObject *given) {
    Py_buffer view;
    if (fill(given, &view) < 0) { return NULL; }
    if (view.len == 0) { %s return NULL; }
    %s
    return Py_NewRef(Py_None);
}"""
WITH_OBJECT = """
static PyObject *f(PyObject *list) {
    PyObject *one = PyLong_FromLong(1);
    if (one == NULL) { return NULL; }
    if (PyList_Append(list, one) < 0) { %s return NULL; }
    %s
}"""
RELEASE = "PyBuffer_Release(&view);"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        (RELEASED % "work(n);", None),
        (RELEASED % "/* PyErr_Clear(); */ say(\"Py_None()\");", None),
        (RELEASED % "PyErr_Clear();", "PyErr_Clear without the GIL"),
        (RELEASED % "if (n) { return; }", "return after Py_BEGIN_ALLOW_THREADS"),
        ("static int look(void) { return PyErr_CheckSignals(); }" + RELEASED % "look();",
         "look without the GIL"),
        ("static void f(void) { Py_BEGIN_ALLOW_THREADS work(); }",
         "Py_BEGIN_ALLOW_THREADS is never ended"),
        ("static void f(void) { work(); Py_END_ALLOW_THREADS }",
         "Py_END_ALLOW_THREADS ends nothing"),
        (("static void f(void) { PyThreadState *t = PyEval_SaveThread(); "
         "PyErr_Clear(); PyEval_RestoreThread(t); }"), "PyErr_Clear without the GIL"),
        (("static void f(void) { PyGILState_STATE s = PyGILState_Ensure(); "
         "PyErr_Clear(); PyGILState_Release(s); }"), None),
        (("static int f(void) { PyGILState_STATE s = PyGILState_Ensure(); "
         "return 1; PyGILState_Release(s); }"), "return after PyGILState_Ensure"),
        (WITH_VIEW % (RELEASE, RELEASE), None),
        (WITH_VIEW % ("", RELEASE), "view is not given back"),
        (WITH_VIEW % (RELEASE, ""), "view is not given back"),
        (WITH_OBJECT % ("Py_DECREF(one);", "return one;"), None),
        (WITH_OBJECT % ("Py_DECREF(one);", "keep->it = one; return list;"), None),
        (WITH_OBJECT % ("", "return one;"), "one is not given back"),
        (WITH_OBJECT % ("Py_DECREF(one);", "return Py_NewRef(list);"),
         "one is not given back"),
        ("static void f(void) { for (;;) { PyObject *x = (PyObject *)PyList_New(0); } }",
         "x is not given back"),
        (("static void f(void) { PyObject *x = PyList_New(0); if (x != NULL) { use(x); "
         "Py_DECREF(x); } }"), None),
        (("static void f(void) { PyObject *x = PyList_New(0); if (n != NULL) { "
         "Py_DECREF(x); } }"), "x is not given back"),
    ],
)  # fmt: skip
def test_seeded_faults(source: str, what: str | None) -> None:
    assert [fault.what for fault in glue.faults(source)] == ([what] if what else [])
