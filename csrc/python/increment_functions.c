#include "spin_functions.h"

#include <stdalign.h>

#include "../team/shared_increment.h"
#include "../platform/clock.h"
#include "buffers.h"
#include "integer_argument.h"

#define INCREMENT_DOC(variant, way)                                                      \
    "increment_" variant "($module, cell, times)\n--\n\n"                                \
    "Add 1 to a counter, so many times. " way "\n\n"                                     \
    "What several threads lose on one counter is what a lock is for.\n\n"                \
    "Parameters\n----------\n"                                                           \
    "cell : buffer\n"                                                                    \
    "    The counter: a writable, C-contiguous buffer of at least 8 bytes, aligned to\n" \
    "    8, of no pointers or references; the first 8 are an unsigned number in\n"       \
    "    native byte order.\n"                                                           \
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
        gilx_get_plain_memory(cell_given, &view, "cell", "", sizeof(gilx_cell),
                              alignof(gilx_cell)) < 0) {
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
