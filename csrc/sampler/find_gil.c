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

static gilx_gil_status locate(gilx_gil *gil, gilx_memory *memory) {
    (void)memory;
    return refuse(gil, "the places of CPython %d.%d are not known", PY_MAJOR_VERSION,
                  PY_MINOR_VERSION);
}

#elif PY_VERSION_HEX >= 0x030d0000

/* At its very start, the runtime has a table of offsets for tools like this one. */
static gilx_gil_status locate(gilx_gil *gil, gilx_memory *memory) {
    _Py_DebugOffsets offsets;
    if (!gilx_memory_read(memory, &_PyRuntime, &offsets, sizeof(offsets))) {
        return refuse(gil, "reading this process's own memory failed: %s",
                      strerror(errno));
    }
    if (memcmp(offsets.cookie, _Py_Debug_Cookie, sizeof(offsets.cookie)) != 0) {
        return refuse(gil, "the runtime does not begin with a table of offsets");
    }
    if (!gilx_same_offsets(PY_VERSION_HEX, offsets.version)) {
        return refuse(gil,
                      "gilx was built for CPython " PY_VERSION " and this one has the "
                      "table of offsets of version %#llx",
                      (unsigned long long)offsets.version);
    }
    const char *interpreter = (const char *)PyInterpreterState_Get();
    const char *state;
    if (!gilx_memory_read(memory, interpreter + offsets.interpreter_state.ceval_gil,
                          &state, sizeof(state))) {
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
    gil->words.interval = (const char *)gil->words.holder -
                          offsetof(gil_state, last_holder) +
                          offsetof(gil_state, interval);
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
        (!gilx_memory_read(memory,
                           state + offsets.interpreter_state.gil_runtime_state_enabled,
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
static gilx_gil_status locate(gilx_gil *gil, gilx_memory *memory) {
    (void)memory;
    /* None of these places has moved in the releases of 3.11, or of 3.12. */
    if (!gilx_same_offsets(PY_VERSION_HEX, Py_Version)) {
        return refuse(gil, "gilx was built for CPython " PY_VERSION ", and this is %.40s",
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
    gil->words.interval = &state->interval;
    gil->states.tid = offsetof(PyThreadState, native_thread_id);
    gil->states.id = offsetof(PyThreadState, id);
    gil->backend = "internal headers";
    return GILX_GIL_FOUND;
}

#endif

/* ---- the switch interval as a dye ---------------------------------------------------
 */

enum { DYES = 4 }; /* each has some 20 bits that are random */

/* The functions of sys for the switch interval. */
typedef struct {
    PyObject *get, *set; /* borrowed */
    unsigned long before;
    uint64_t random;
} dye;

static bool open_dye(dye *dye) {
    dye->get = PySys_GetObject("getswitchinterval");
    dye->set = PySys_GetObject("setswitchinterval");
    /* Those that a program put in their place may do anything. */
    if (dye->get == NULL || dye->set == NULL || !PyCFunction_Check(dye->get) ||
        !PyCFunction_Check(dye->set)) {
        return false;
    }
    PyObject *seconds = PyObject_CallNoArgs(dye->get);
    const double before = seconds == NULL ? -1 : PyFloat_AsDouble(seconds);
    Py_XDECREF(seconds);
    if (before < 0) {
        PyErr_Clear();
        return false;
    }
    dye->before = (unsigned long)(before * 1e6 + 0.5);
    dye->random = (uint64_t)gilx_now_ns() | 1;
    return true;
}

/* Set the interval; Python truncates, hence the half. */
static bool set_interval(const dye *dye, unsigned long microseconds) {
    PyObject *done =
        PyObject_CallFunction(dye->set, "d", ((double)microseconds + 0.5) * 1e-6);
    if (done == NULL) {
        PyErr_Clear();
        return false;
    }
    Py_DECREF(done);
    return true;
}

/* Return a random interval of 1 ms to 1 s. */
static unsigned long next_interval(dye *dye) {
    dye->random ^= dye->random << 13;
    dye->random ^= dye->random >> 7;
    dye->random ^= dye->random << 17;
    return 1000 + (unsigned long)(dye->random % 1000000);
}

/* Of places that may be those of the interval, keep those that follow it; how many are
 * left, or -1 if it can't be set. The interval is as before then. */
static int follow_interval(gilx_memory *memory, const char **places, int count) {
    dye dye;
    if (!open_dye(&dye)) {
        return -1;
    }
    bool set = true;
    for (int round = 0; round < DYES && set; ++round) {
        const unsigned long interval = next_interval(&dye);
        set = set_interval(&dye, interval);
        int left = 0;
        for (int i = 0; i < count; ++i) {
            unsigned long word;
            if (gilx_memory_read(memory, places[i], &word, sizeof(word)) &&
                word == interval) {
                places[left++] = places[i];
            }
        }
        count = left;
    }
    return set_interval(&dye, dye.before) && set ? count : -1;
}

/* ---- certification ------------------------------------------------------------------
 */

typedef struct {
    int locked;
    uintptr_t holder;
    unsigned long switches;
} reading;

static bool read_words(const gilx_gil *gil, gilx_memory *memory, reading *now) {
    const gilx_gil_words *words = &gil->words;
    return gilx_memory_read(memory, words->locked, &now->locked, sizeof(now->locked)) &&
           gilx_memory_read(memory, words->holder, &now->holder, sizeof(now->holder)) &&
           gilx_memory_read(memory, words->switches, &now->switches,
                            sizeof(now->switches));
}

/* Whether the words ever say that the caller, who has released the GIL, does not hold
 * it. Other threads may hold it meanwhile, so that it is never seen free. */
static bool seen_released(const gilx_gil *gil, gilx_memory *memory, uintptr_t caller) {
    for (int tries = 0; tries < 100; ++tries) {
        reading now;
        if (!read_words(gil, memory, &now)) {
            return false;
        }
        if (now.locked == 0 || (now.locked == 1 && now.holder != caller)) {
            return true;
        }
        gilx_sleep_ns(20 * 1000);
    }
    return false;
}

static gilx_gil_status certify(gilx_gil *gil, gilx_memory *memory) {
    PyThreadState *const own = PyThreadState_Get();
    const uintptr_t caller = (uintptr_t)own;
    unsigned long tid;
    uint64_t id = PyThreadState_GetID(own);
    if (!gilx_memory_read(memory, (const char *)own + gil->states.tid, &tid,
                          sizeof(tid)) ||
        (gil->states.id != 0 &&
         !gilx_memory_read(memory, (const char *)own + gil->states.id, &id,
                           sizeof(id))) ||
        tid != PyThread_get_thread_native_id() || id != PyThreadState_GetID(own)) {
        return refuse(gil,
                      "the thread state does not say which thread it is of (found by %s)",
                      gil->backend);
    }
    const char *interval = gil->words.interval;
    const int followed = follow_interval(memory, &interval, 1);
    /* Without the functions of sys, the rest has to do. */
    if (followed == 0) {
        return refuse(gil,
                      "the word taken for the switch interval does not follow it (found "
                      "by %s)",
                      gil->backend);
    }
    unsigned long switches = 0;
    for (int round = 0; round < 3; ++round) {
        reading now;
        if (!read_words(gil, memory, &now)) {
            return refuse(gil, "the GIL's words can't be read: %s", strerror(errno));
        }
        if (now.locked != 1 || now.holder != caller) {
            return refuse(gil,
                          "the words taken for the GIL's do not say that this thread "
                          "holds it, which it does (found by %s)",
                          gil->backend);
        }
        if (now.switches < switches) {
            return refuse(gil, "the count of switches goes back (found by %s)",
                          gil->backend);
        }
        switches = now.switches;
        bool released;
        Py_BEGIN_ALLOW_THREADS
        released = seen_released(gil, memory, caller);
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

/* ---- search -------------------------------------------------------------------------
 */

/* In all versions so far the GIL's words lie side by side in this order. */
typedef struct {
    unsigned long interval;
    uintptr_t holder;
    int locked;
    unsigned long switches;
} words_in_order;

enum {
    MOST_SEARCHED = 1 << 20, /* bytes of the runtime, and of an interpreter */
    MOST_PLACES = 64,
    MOST_OF_A_STATE = 512, /* bytes of a thread state in which its native id is */
};

/* Add places that look as the GIL's words do while the caller holds it: those of the
 * word before its thread state's address. How many there are then. */
static int add_places(gilx_memory *memory, const char *start, uintptr_t caller,
                      const char **places, int count) {
    static const size_t BEFORE = offsetof(words_in_order, holder);
    uintptr_t page[GILX_MOST_READ / sizeof(uintptr_t)];
    for (const char *at = start; at < start + MOST_SEARCHED;) {
        /* Up to the end of the page, since the next one may not be there. */
        const size_t size = GILX_MOST_READ - (uintptr_t)at % GILX_MOST_READ;
        if (!gilx_memory_read(memory, at, page, size)) {
            break;
        }
        for (size_t i = 0; i < size / sizeof(*page); ++i) {
            const char *place = at + i * sizeof(*page) - BEFORE;
            words_in_order words;
            if (page[i] != caller ||
                !gilx_memory_read(memory, place, &words, sizeof(words)) ||
                words.locked != 1) {
                continue;
            }
            bool known = false;
            for (int j = 0; j < count; ++j) {
                known = known || places[j] == place;
            }
            if (!known && count < MOST_PLACES) {
                places[count++] = place;
            }
        }
        at += size;
    }
    return count;
}

/* Return where a thread state has its native id; 0 if that is not in one place alone. */
static int64_t find_tid(gilx_memory *memory, const char *state) {
    unsigned long words[MOST_OF_A_STATE / sizeof(unsigned long)];
    int64_t found = 0;
    if (!gilx_memory_read(memory, state, words, sizeof(words))) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); ++i) {
        if (words[i] == PyThread_get_thread_native_id()) {
            if (found != 0) {
                return 0;
            }
            found = (int64_t)(i * sizeof(*words));
        }
    }
    return found;
}

static gilx_gil_status search(gilx_gil *gil, gilx_memory *memory) {
    const char *places[MOST_PLACES];
    const uintptr_t caller = (uintptr_t)PyThreadState_Get();
    int count = add_places(memory, (const char *)&_PyRuntime, caller, places, 0);
    count =
        add_places(memory, (const char *)PyInterpreterState_Get(), caller, places, count);
    const int found = follow_interval(memory, places, count);
    if (found != 1) {
        return refuse(gil,
                      "in %d places that may be the GIL's, %d follow the switch "
                      "interval",
                      count, found < 0 ? 0 : found);
    }
    const char *place = places[0];
    gil->words.interval = place + offsetof(words_in_order, interval);
    gil->words.holder = place + offsetof(words_in_order, holder);
    gil->words.locked = place + offsetof(words_in_order, locked);
    gil->words.switches = place + offsetof(words_in_order, switches);
    gil->states = (gilx_thread_state_layout){
        .tid = find_tid(memory, (const char *)caller),
    };
    gil->backend = "search";
    return GILX_GIL_FOUND;
}

gilx_gil_status gilx_gil_find(gilx_gil *gil, gilx_memory *memory, bool search_only) {
    *gil = (gilx_gil){.backend = NULL};
#if !defined(__linux__)
    (void)memory, (void)search_only;
    return refuse(gil, "the GIL watch works on Linux only");
#else
    gilx_gil_status status = locate(gil, memory);
    if (status == GILX_GIL_FOUND && !search_only) {
        status = certify(gil, memory);
    }
    if (status == GILX_GIL_NONE || (status == GILX_GIL_FOUND && !search_only)) {
        return status;
    }
    const gilx_gil first = *gil;
    *gil = (gilx_gil){.backend = NULL};
    status = search(gil, memory);
    if (status == GILX_GIL_FOUND) {
        status = certify(gil, memory);
    }
    if (status != GILX_GIL_FOUND && first.trouble[0] != '\0') {
        const gilx_gil second = *gil;
        return refuse(gil, "%.140s; %.140s", first.trouble, second.trouble);
    }
    return status;
#endif
}
