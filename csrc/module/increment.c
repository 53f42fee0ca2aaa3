#include "instruments.h"

#include <stdalign.h>

#include "../instruments/increment.h"
#include "../platform/clock.h"
#include "integer.h"

#define INCREMENT_DOC(variant, way)                                                      \
    "increment_" variant "($module, cell, times)\n--\n\n"                                \
    "Add 1 to a counter, so many times. " way "\n\n"                                     \
    "What several threads lose on one counter is what a lock is for.\n\n"                \
    "Parameters\n----------\n"                                                           \
    "cell : buffer\n"                                                                    \
    "    The counter: a writable, C-contiguous buffer of at least 8 bytes, aligned to\n" \
    "    8; the first 8 are an unsigned number in native byte order.\n"                  \
    "times : int, 0 to 10**18\n"                                                         \
    "    How often to add 1.\n\n"                                                        \
    "Returns\n-------\nint\n"                                                            \
    "    How long it took, in nanoseconds, without waiting for the GIL.\n\n"             \
    "Raises\n------\nTypeError, ValueError, BufferError\n"                               \
    "    An argument is not as described; the message names it.\n"                       \
    "KeyboardInterrupt\n"                                                                \
    "    Ctrl-C, in a call on the main thread; the counter has part of the additions."

const char gilx_increment_gil_doc[] =
    INCREMENT_DOC("gil", "By load and store, with the GIL held.");
const char gilx_increment_nogil_doc[] =
    INCREMENT_DOC("nogil", "By load and store, with the GIL released: additions of\n"
                           "other threads in between are lost.");
const char gilx_increment_atomic_doc[] =
    INCREMENT_DOC("atomic", "By atomic additions, with the GIL released.");

/* Get the memory of a cell; 0, or -1 with an exception that says what is wrong. */
static int get_cell(PyObject *given, Py_buffer *view) {
    if (!PyObject_CheckBuffer(given)) {
        PyErr_Format(PyExc_TypeError,
                     "cell: expected a writable, C-contiguous buffer, got %.100s",
                     Py_TYPE(given)->tp_name);
        return -1;
    }
    if (PyObject_GetBuffer(given, view, PyBUF_CONTIG) < 0) {
        /* Exporters refuse in words of their own, which don't say what was asked for. */
        if (PyErr_ExceptionMatches(PyExc_BufferError) ||
            PyErr_ExceptionMatches(PyExc_ValueError) ||
            PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_SetString(PyExc_BufferError,
                            "cell: expected a writable, C-contiguous buffer");
        }
        return -1;
    }
    if (view->len < (Py_ssize_t)sizeof(gilx_cell)) {
        PyErr_Format(PyExc_ValueError, "cell: expected at least %zu bytes, got %zd",
                     sizeof(gilx_cell), view->len);
    } else if ((uintptr_t)view->buf % alignof(gilx_cell) != 0) {
        PyErr_Format(PyExc_ValueError, "cell: expected memory aligned to %zu bytes",
                     alignof(gilx_cell));
    } else {
        return 0;
    }
    PyBuffer_Release(view);
    return -1;
}

PyObject *gilx_increment_call(gilx_main_thread *main_thread, bool released, bool atomic,
                              PyObject *args, PyObject *kwargs) {
    static char *names[] = {"cell", "times", NULL};
    PyObject *cell_given, *times_given;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs,
                                     atomic     ? "OO:increment_atomic"
                                     : released ? "OO:increment_nogil"
                                                : "OO:increment_gil",
                                     names, &cell_given, &times_given)) {
        return NULL;
    }
    int64_t times;
    Py_buffer view;
    gilx_interrupt interrupt;
    if (gilx_read_integer(times_given, "times", 0, 1000000000000000000, PyExc_ValueError,
                          "", &times) < 0 ||
        get_cell(cell_given, &view) < 0) {
        return NULL;
    }
    if (gilx_interrupt_begin(&interrupt, main_thread, released, NULL) < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    gilx_cell *cell = view.buf;
    PyThreadState *thread = released ? PyEval_SaveThread() : NULL;
    const int64_t begin = gilx_now_ns();
    const bool done = gilx_increment(cell, times, atomic, &interrupt.control);
    const int64_t spent = gilx_now_ns() - begin;
    if (released) {
        PyEval_RestoreThread(thread);
    }
    PyBuffer_Release(&view);
    return done ? PyLong_FromLongLong(spent) : NULL;
}
