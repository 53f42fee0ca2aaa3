#define Py_BUILD_CORE 1 /* for the internal headers, in this file alone */

#include "find_gil.h"

#include "cpython_internals.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../platform/clock.h"
#include "safe_memory.h"
#include "cpython_versions.h"

static gilx_gil_status refuse(gilx_gil *gil, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(gil->trouble, sizeof(gil->trouble), format, values);
    va_end(values);
    return GILX_GIL_UNAVAILABLE;
}

/* ---- where each version keeps it -------------------------------------------------- */

typedef struct _gil_runtime_state gil_state;

#if PY_VERSION_HEX >= 0x03100000

static gilx_gil_status locate(gilx_gil *gil) {
    return refuse(gil, "the GIL watch does not know CPython %d.%d yet", PY_MAJOR_VERSION,
                  PY_MINOR_VERSION);
}

#elif PY_VERSION_HEX >= 0x030d0000

/* At its very start, the runtime has a table of offsets for tools like this one. */
static gilx_gil_status locate(gilx_gil *gil) {
    _Py_DebugOffsets offsets;
    if (!gilx_read_memory(&_PyRuntime, &offsets, sizeof(offsets))) {
        return refuse(gil, "reading this process's own memory failed: %s",
                      strerror(errno));
    }
    if (memcmp(offsets.cookie, _Py_Debug_Cookie, sizeof(offsets.cookie)) != 0) {
        return refuse(gil, "the runtime does not begin with the table of offsets");
    }
    if (!gilx_same_offsets(PY_VERSION_HEX, offsets.version)) {
        return refuse(gil,
                      "gilx was built for CPython " PY_VERSION " and this one has the "
                      "table of offsets of version %#llx: rebuild it",
                      (unsigned long long)offsets.version);
    }
    const char *interpreter = (const char *)PyInterpreterState_Get();
    const char *state;
    if (!gilx_read_memory(interpreter + offsets.interpreter_state.ceval_gil, &state,
                          sizeof(state))) {
        return refuse(gil, "the interpreter does not say where its GIL is");
    }
    /* The other offsets are for an interpreter that uses the GIL it contains. One that
     * shares another's has its pointer alone, and the places within that. */
    const uint64_t base = offsets.interpreter_state.gil_runtime_state;
    gil->words.locked =
        state + (offsets.interpreter_state.gil_runtime_state_locked - base);
    gil->words.holder =
        state + (offsets.interpreter_state.gil_runtime_state_holder - base);
    /* The table does not have this one; it has always been beside its neighbour. */
    gil->words.switches = (const char *)gil->words.locked +
                          offsetof(gil_state, switch_number) -
                          offsetof(gil_state, locked);
    gil->states.tid = (int64_t)offsets.thread_state.native_thread_id;
    gil->states.id = offsetof(PyThreadState, id);
#if PY_VERSION_HEX >= 0x030f0000
    gil->states.waits = (int64_t)offsets.thread_state.gil_requested;
    gil->states.next = (int64_t)offsets.thread_state.next;
    gil->states.first = interpreter + offsets.interpreter_state.threads_head;
#endif
    gil->backend = "debug offsets";
    int enabled = 1;
    if (offsets.free_threaded &&
        (!gilx_read_memory(state + offsets.interpreter_state.gil_runtime_state_enabled,
                           &enabled, sizeof(enabled)))) {
        return refuse(gil, "the interpreter does not say whether its GIL is on");
    }
    if (!enabled) {
        (void)refuse(gil, "this free-threaded Python runs without a GIL: there is none "
                          "to hold");
        return GILX_GIL_NONE;
    }
    return GILX_GIL_FOUND;
}

#else

/* Offsets are those of the headers that gilx was built with. */
static gilx_gil_status locate(gilx_gil *gil) {
    if (Py_Version != PY_VERSION_HEX) {
        return refuse(gil,
                      "gilx was built for CPython " PY_VERSION " and this is another "
                      "release, %.40s: rebuild it",
                      Py_GetVersion());
    }
#if PY_VERSION_HEX >= 0x030c0000
    const gil_state *state = PyInterpreterState_Get()->ceval.gil;
#else
    const gil_state *state = &_PyRuntime.ceval.gil;
#endif
    gil->words.locked = &state->locked;
    gil->words.holder = &state->last_holder;
    gil->words.switches = &state->switch_number;
    gil->states.tid = offsetof(PyThreadState, native_thread_id);
    gil->states.id = offsetof(PyThreadState, id);
    gil->backend = "internal headers";
    return GILX_GIL_FOUND;
}

#endif

gilx_gil_status gilx_gil_find(gilx_gil *gil) {
    *gil = (gilx_gil){.backend = NULL};
#if !defined(__linux__)
    return refuse(gil, "the GIL watch works on Linux only");
#else
    return locate(gil);
#endif
}

/* ---- certification ---------------------------------------------------------------- */

typedef struct {
    int locked;
    uintptr_t holder;
} reading;

static bool read_words(const gilx_gil *gil, reading *now) {
    unsigned long switches;
    return gilx_read_memory(gil->words.locked, &now->locked, sizeof(now->locked)) &&
           gilx_read_memory(gil->words.holder, &now->holder, sizeof(now->holder)) &&
           gilx_read_memory(gil->words.switches, &switches, sizeof(switches));
}

/* Whether the words ever say that the caller, who has released the GIL, does not hold
 * it. Other threads may hold it meanwhile, so that it is never seen free. */
static bool seen_released(const gilx_gil *gil, uintptr_t caller) {
    for (int tries = 0; tries < 100; ++tries) {
        reading now;
        if (!read_words(gil, &now)) {
            return false;
        }
        if (now.locked == 0 || (now.locked == 1 && now.holder != caller)) {
            return true;
        }
        gilx_sleep_ns(20 * 1000);
    }
    return false;
}

gilx_gil_status gilx_gil_certify(gilx_gil *gil) {
    PyThreadState *const own = PyThreadState_Get();
    const uintptr_t caller = (uintptr_t)own;
    unsigned long tid;
    uint64_t id;
    if (!gilx_read_memory((const char *)own + gil->states.tid, &tid, sizeof(tid)) ||
        !gilx_read_memory((const char *)own + gil->states.id, &id, sizeof(id)) ||
        tid != PyThread_get_thread_native_id() || id != PyThreadState_GetID(own)) {
        return refuse(gil,
                      "the thread state does not say which thread it is of (found by %s)",
                      gil->backend);
    }
    for (int round = 0; round < 3; ++round) {
        reading now;
        if (!read_words(gil, &now)) {
            return refuse(gil, "the GIL's words can't be read: %s", strerror(errno));
        }
        if (now.locked != 1 || now.holder != caller) {
            return refuse(gil,
                          "the words taken for the GIL's do not say that this thread "
                          "holds it, which it does (found by %s)",
                          gil->backend);
        }
        bool released;
        Py_BEGIN_ALLOW_THREADS
        released = seen_released(gil, caller);
        Py_END_ALLOW_THREADS
        if (!released) {
            return refuse(gil,
                          "the words taken for the GIL's do not change when it is "
                          "released (found by %s)",
                          gil->backend);
        }
    }
    return GILX_GIL_FOUND;
}
