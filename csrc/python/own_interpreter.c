#define Py_BUILD_CORE 1 /* for the internal headers, in this file alone */

#include "python_api.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cpython_internals.h"
#include "own_interpreter.h"
#include "../sampler/layouts.h"

/* ---- the places that are known, compared with the headers ------------------------- */

typedef struct _gil_runtime_state gil_state;

/* What threads wait on comes after the words. */
_Static_assert(offsetof(gil_state, cond) - offsetof(gil_state, interval) ==
                       sizeof(gilx_gil_struct) &&
                   offsetof(gil_state, mutex) ==
                       offsetof(gil_state, cond) + sizeof(pthread_cond_t),
               "CPython has another condition variable for the GIL than is known");

/* The words that the places of each version are about. */
#define HEADER_tid offsetof(PyThreadState, native_thread_id)
#define HEADER_id offsetof(PyThreadState, id)
#define HEADER_next offsetof(PyThreadState, next)
#define HEADER_interpreter offsetof(PyThreadState, interp)
#define HEADER_interpreter_next offsetof(PyInterpreterState, next)
#define HEADER_runtime_interpreters offsetof(_PyRuntimeState, interpreters.head)
#define HEADER_interpreter_threads offsetof(PyInterpreterState, threads.head)
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
#define HEADER_table_interpreter TABLE(thread_state.interp)
#define HEADER_table_interpreters TABLE(runtime_state.interpreters_head)
#define HEADER_table_interpreter_next TABLE(interpreter_state.next)

/* The words of Python stacks. */
typedef struct _PyInterpreterFrame frame;
#if PY_MINOR_VERSION >= 13
#define HEADER_state_frame offsetof(PyThreadState, current_frame)
#define HEADER_cframe_frame (-1)
#define HEADER_code offsetof(frame, f_executable)
#define HEADER_instr offsetof(frame, instr_ptr)
#else
#define HEADER_state_frame offsetof(PyThreadState, cframe)
#define HEADER_cframe_frame offsetof(_PyCFrame, current_frame)
#define HEADER_code offsetof(frame, f_code)
#define HEADER_instr offsetof(frame, prev_instr)
#endif
#if PY_MINOR_VERSION >= 14
#define HEADER_tag Py_TAG_BITS
#define HEADER_end_owner FRAME_OWNED_BY_INTERPRETER
#elif PY_MINOR_VERSION >= 12
#define HEADER_tag 0
#define HEADER_end_owner FRAME_OWNED_BY_CSTACK
#else
#define HEADER_tag 0
#define HEADER_end_owner FRAME_OWNED_BY_THREAD
#endif
#if PY_MINOR_VERSION >= 12
#define HEADER_version offsetof(PyCodeObject, co_version)
#define HEADER_entry (-1)
#else
#define HEADER_version (-1)
#define HEADER_entry offsetof(frame, is_entry)
#endif
#define HEADER_chunk offsetof(PyThreadState, datastack_chunk)
#define HEADER_top offsetof(PyThreadState, datastack_top)
#define HEADER_limit offsetof(PyThreadState, datastack_limit)
#define HEADER_previous offsetof(frame, previous)
#define HEADER_owner offsetof(frame, owner)
#define HEADER_locals offsetof(frame, localsplus)
#define HEADER_type offsetof(PyObject, ob_type)
#define HEADER_size offsetof(PyVarObject, ob_size)
#define HEADER_instructions offsetof(PyCodeObject, co_code_adaptive)
#define HEADER_first_line offsetof(PyCodeObject, co_firstlineno)
#define HEADER_file offsetof(PyCodeObject, co_filename)
#define HEADER_name offsetof(PyCodeObject, co_qualname)
#define HEADER_line_table offsetof(PyCodeObject, co_linetable)
#define HEADER_consts offsetof(PyCodeObject, co_consts)
#define HEADER_names offsetof(PyCodeObject, co_names)
#define HEADER_bytes offsetof(PyBytesObject, ob_sval)
#define HEADER_string_length offsetof(PyASCIIObject, length)
#define HEADER_string_state offsetof(PyASCIIObject, state)
#define HEADER_string_ascii sizeof(PyASCIIObject)
#define HEADER_string_compact sizeof(PyCompactUnicodeObject)
#define HEADER_collecting offsetof(PyInterpreterState, gc.collecting)
#define HEADER_garbage offsetof(PyInterpreterState, gc.garbage)

/* Those of free-threaded builds. */
#define HEADER_copy_number offsetof(frame, tlbc_index)
#define HEADER_copies offsetof(PyCodeObject, co_tlbc)
#define HEADER_first_copy offsetof(_PyCodeArray, entries)
#define HEADER_own_references offsetof(PyObject, ob_ref_local)
#define HEADER_shared_references offsetof(PyObject, ob_ref_shared)
#define HEADER_state offsetof(PyThreadState, state)
#define HEADER_section offsetof(PyThreadState, critical_section)
#define HEADER_section_mutex offsetof(PyCriticalSection, _cs_mutex)
#define HEADER_object_mutex offsetof(PyObject, ob_mutex)
#define HEADER_object_type offsetof(PyObject, ob_type)
#define HEADER_object_size sizeof(PyObject)
#define HEADER_type_name offsetof(PyTypeObject, tp_name)

#define AS_IN_HEADER(name, place)                                                  \
    _Static_assert((place) == HEADER_##name || sizeof(void *) != sizeof(uint64_t), \
                   "layouts.h: " #name                                             \
                   " is elsewhere in the headers of CPython " PY_VERSION);
/* Builds without a GIL have other places, and so have those with longer objects. */
#if defined(Py_GIL_DISABLED) || defined(Py_TRACE_REFS)
#define STACK_PLACES(minor)
#else
#define STACK_PLACES(minor) GILX_STACK_PLACES_##minor(AS_IN_HEADER)
#endif
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
STACK_PLACES(11)
#elif PY_MINOR_VERSION == 12
GILX_PLACES_12(AS_IN_HEADER)
STACK_PLACES(12)
#elif PY_MINOR_VERSION == 13
GILX_PLACES_13(AS_IN_HEADER)
STACK_PLACES(13)
#elif PY_MINOR_VERSION == 14
GILX_PLACES_14(AS_IN_HEADER)
STACK_PLACES(14)
#if defined(Py_GIL_DISABLED) && !defined(Py_TRACE_REFS)
GILX_FREE_STACK_PLACES_14(AS_IN_HEADER)
GILX_FREE_PLACES_14(AS_IN_HEADER)
#endif
#elif PY_MINOR_VERSION == 15
GILX_PLACES_15(AS_IN_HEADER)
STACK_PLACES(15)
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

static own_interpreter this_interpreter(void) {
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
    return own;
}

gilx_gil_status gilx_find_own_gil(gilx_gil *gil, gilx_memory *memory, bool search_only) {
    own_interpreter own = this_interpreter();
    return gilx_gil_find(gil, memory, &own.base, search_only);
}

/* ---- without a GIL ---------------------------------------------------------------- */

#ifdef Py_GIL_DISABLED
/* A function that is called while the world is stopped. */
typedef struct {
    void (*inside)(void *context);
    void *context;
    bool called;
} stopped_call;

/* Make the call at the first object, for which all objects would be visited. */
static int visit(PyObject *Py_UNUSED(object), void *argument) {
    stopped_call *call = argument;
    if (!call->called) {
        call->called = true;
        call->inside(call->context);
    }
    return 0;
}

static void do_nothing(void *Py_UNUSED(context)) {}

static bool stop(gilx_free_interpreter *Py_UNUSED(interpreter),
                 void (*inside)(void *context), void *context) {
    stopped_call call = {.inside = inside, .context = context};
    PyUnstable_GC_VisitObjects(visit, &call);
    return call.called;
}

bool gilx_stop_all_threads(void) {
    stopped_call call = {.inside = do_nothing};
    PyUnstable_GC_VisitObjects(visit, &call);
    return call.called;
}

static uintptr_t lock(gilx_free_interpreter *Py_UNUSED(interpreter),
                      void (*inside)(void *context), void *context) {
    PyObject *list = PyList_New(0);
    const uintptr_t address = (uintptr_t)list;
    if (list == NULL) {
        PyErr_Clear();
        return 0;
    }
    Py_BEGIN_CRITICAL_SECTION(list);
    inside(context);
    Py_END_CRITICAL_SECTION();
    Py_DECREF(list);
    return address;
}

bool gilx_find_own_free_threads(gilx_free_threads *threads, gilx_memory *memory,
                                char trouble[300]) {
    own_interpreter own = this_interpreter();
    gilx_free_interpreter interpreter = {
        .base = &own.base,
        .stop = stop,
        .lock = lock,
        .type_of_types = (uintptr_t)&PyType_Type,
    };
    return gilx_free_threads_find(threads, memory, &interpreter, trouble);
}
#else
bool gilx_find_own_free_threads(gilx_free_threads *Py_UNUSED(threads),
                                gilx_memory *Py_UNUSED(memory), char trouble[300]) {
    (void)snprintf(trouble, 300, "this Python is not a free-threaded build");
    return false;
}

bool gilx_stop_all_threads(void) {
    return false;
}
#endif

int64_t gilx_own_offset(const gilx_free_threads *threads) {
    return (int64_t)(threads->world - (uintptr_t)PyInterpreterState_Get());
}

/* ---- the places of Python stacks -------------------------------------------------- */

/* Return whether a string that consists of one character is stored as the places say. */
static bool is_stored_so(const gilx_stack_layout *places, Py_UCS4 character,
                         unsigned bytes) {
    enum { KIND = 7, LAST_ASCII = 127 };
    PyObject *string = PyUnicode_FromOrdinal((int)character);
    if (string == NULL) {
        PyErr_Clear();
        return false;
    }
    const char *const start = (const char *)string;
    const bool ascii = character <= LAST_ASCII;
    uint32_t state, stored = 0;
    Py_ssize_t length;
    memcpy(&state, start + places->string_state, sizeof(state));
    memcpy(&length, start + places->string_length, sizeof(length));
    /* The lowest byte comes first in both. */
    memcpy(&stored, start + (ascii ? places->string_ascii : places->string_compact),
           bytes);
    const bool so = (state >> places->string_kind & KIND) == bytes &&
                    (state >> places->string_is_compact & 1) == 1 &&
                    (state >> places->string_is_ascii & 1) == (ascii ? 1 : 0) &&
                    length == 1 && stored == character;
    Py_DECREF(string);
    return so;
}

/* Return places if strings are stored as they say, else NULL. */
static const gilx_stack_layout *if_known(const gilx_stack_layout *places) {
    const bool known = places != NULL && is_stored_so(places, 'a', 1) &&
                       is_stored_so(places, 0xe9, 1) && is_stored_so(places, 0x4e00, 2) &&
                       is_stored_so(places, 0x1f600, 4);
    return known ? places : NULL;
}

const gilx_stack_layout *gilx_own_stack_layout(void) {
#ifdef Py_GIL_DISABLED
    const bool free_threaded = true;
#else
    const bool free_threaded = false;
#endif
    return if_known(gilx_stack_layout_of(gilx_layout_of(Py_Version), free_threaded));
}

const gilx_stack_layout *gilx_own_free_stack_layout(void) {
#ifdef Py_GIL_DISABLED
    return if_known(gilx_free_stack_layout_of(gilx_layout_of(Py_Version)));
#else
    return NULL;
#endif
}

/* Return whether a word is the address of what a module has by that name. */
static bool is_attribute(const char *word, PyObject *module, const char *name) {
    PyObject *object = module == NULL ? NULL : PyObject_GetAttrString(module, name);
    if (object == NULL) {
        PyErr_Clear();
        return false;
    }
    const bool is = memcmp(word, &object, sizeof(object)) == 0;
    Py_DECREF(object);
    return is;
}

const int *gilx_own_collecting(void) {
    const gilx_stack_layout *places = gilx_own_stack_layout();
    if (places == NULL) {
        return NULL;
    }
    const char *const interpreter = (const char *)PyInterpreterState_Get();
    const char *const garbage = interpreter + places->garbage;
    PyObject *module = PyImport_ImportModule("gc");
    const bool known = is_attribute(garbage, module, "garbage") &&
                       is_attribute(garbage + sizeof(PyObject *), module, "callbacks");
    Py_XDECREF(module);
    PyErr_Clear();
    return known ? (const int *)(const void *)(interpreter + places->collecting) : NULL;
}
