#define Py_BUILD_CORE 1 /* for the internal headers, in this file alone */

#include "python_api.h"

#include <stddef.h>

#include "cpython_internals.h"
#include "own_interpreter.h"
#include "../sampler/layouts.h"

/* ---- the places that are known, compared with the headers ------------------------- */

typedef struct _gil_runtime_state gil_state;

/* The words that the places of each version are about. */
#define HEADER_tid offsetof(PyThreadState, native_thread_id)
#define HEADER_id offsetof(PyThreadState, id)
#define HEADER_runtime_gil offsetof(_PyRuntimeState, ceval.gil)
#define HEADER_interpreter_gil offsetof(PyInterpreterState, ceval.gil)
#define TABLE(member) (offsetof(_Py_DebugOffsets, member) / sizeof(uint64_t))
#define HEADER_table_threads TABLE(interpreter_state.threads_head)
#define HEADER_table_gil TABLE(interpreter_state.ceval_gil)
#define HEADER_table_own_gil TABLE(interpreter_state.gil_runtime_state)
#define HEADER_table_enabled TABLE(interpreter_state.gil_runtime_state_enabled)
#define HEADER_table_locked TABLE(interpreter_state.gil_runtime_state_locked)
#define HEADER_table_holder TABLE(interpreter_state.gil_runtime_state_holder)
#define HEADER_table_next TABLE(thread_state.next)
#define HEADER_table_tid TABLE(thread_state.native_thread_id)
#define HEADER_table_waits TABLE(thread_state.gil_requested)

#define AS_IN_HEADER(name, place)                                                  \
    _Static_assert((place) == HEADER_##name || sizeof(void *) != sizeof(uint64_t), \
                   "layouts.h: " #name                                             \
                   " is elsewhere in the headers of CPython " PY_VERSION);
#define IN_ORDER(first, own_first, second, own_second)                         \
    _Static_assert(offsetof(gil_state, second) - offsetof(gil_state, first) == \
                       offsetof(gilx_gil_struct, own_second) -                 \
                           offsetof(gilx_gil_struct, own_first),               \
                   "layouts.h: the GIL's words lie otherwise in CPython " PY_VERSION);

/* Pre-releases may differ: the watch finds out whether they do. */
#if PY_RELEASE_LEVEL == PY_RELEASE_LEVEL_FINAL && PY_VERSION_HEX < 0x03100000
IN_ORDER(interval, interval, last_holder, holder)
IN_ORDER(last_holder, holder, locked, locked)
IN_ORDER(locked, locked, switch_number, switches)
#if PY_MINOR_VERSION >= 13
_Static_assert(TABLE(cookie) == GILX_TABLE_COOKIE &&
                   TABLE(version) == GILX_TABLE_VERSION &&
                   TABLE(free_threaded) == GILX_TABLE_FREE_THREADED &&
                   sizeof(_Py_DebugOffsets) / sizeof(uint64_t) >= GILX_TABLE_WORDS,
               "layouts.h: the table of offsets is another one in CPython " PY_VERSION);
#endif
#if PY_MINOR_VERSION == 11
GILX_PLACES_11(AS_IN_HEADER)
#elif PY_MINOR_VERSION == 12
GILX_PLACES_12(AS_IN_HEADER)
#elif PY_MINOR_VERSION == 13
GILX_PLACES_13(AS_IN_HEADER)
#elif PY_MINOR_VERSION == 14
GILX_PLACES_14(AS_IN_HEADER)
#elif PY_MINOR_VERSION == 15
GILX_PLACES_15(AS_IN_HEADER)
#endif
#endif

/* ---- what the search asks of the interpreter -------------------------------------- */

typedef struct {
    gilx_interpreter base;
    PyObject *set_interval; /* borrowed */
    PyThreadState *released;
} own_interpreter;

/* Set the switch interval; Python truncates, hence the half. */
static bool set_interval(gilx_interpreter *base, unsigned long microseconds) {
    const own_interpreter *own = (own_interpreter *)base;
    PyObject *done = PyObject_CallFunction(own->set_interval, "d",
                                           ((double)microseconds + 0.5) * 1e-6);
    if (done == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(done);
    return true;
}

/* Use the functions of sys for the switch interval. Those that a program put in their
 * place may do anything, so that the interval can't be set then. */
static void open_interval(own_interpreter *own) {
    PyObject *get = PySys_GetObject("getswitchinterval");
    PyObject *set = PySys_GetObject("setswitchinterval");
    if (get == NULL || set == NULL || !PyCFunction_Check(get) ||
        !PyCFunction_Check(set)) {
        return;
    }
    PyObject *seconds = PyObject_CallNoArgs(get);
    const double before = seconds == NULL ? -1 : PyFloat_AsDouble(seconds);
    Py_XDECREF(seconds);
    if (before < 0) {
        PyErr_Clear();
        return;
    }
    own->set_interval = set;
    own->base.interval = (unsigned long)(before * 1e6 + 0.5);
    own->base.set_interval = set_interval;
}

static void release(gilx_interpreter *base) {
    ((own_interpreter *)base)->released = PyEval_SaveThread();
}

static void take(gilx_interpreter *base) {
    PyEval_RestoreThread(((own_interpreter *)base)->released);
}

gilx_gil_status gilx_find_own_gil(gilx_gil *gil, gilx_memory *memory, bool search_only) {
    PyThreadState *const state = PyThreadState_Get();
    own_interpreter own = {
        .base =
            {
                .version = Py_Version,
                .runtime = &_PyRuntime,
                .interpreter = PyInterpreterState_Get(),
                .state = state,
                .tid = PyThread_get_thread_native_id(),
                .id = PyThreadState_GetID(state),
                .release = release,
                .take = take,
            },
    };
    open_interval(&own);
    return gilx_gil_find(gil, memory, &own.base, search_only);
}
