#define _POSIX_C_SOURCE 200809L

#include "find_gil.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "layouts.h"
#include "safe_memory.h"

static gilx_gil_status refuse(gilx_gil *gil, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(gil->trouble, sizeof(gil->trouble), format, values);
    va_end(values);
    return GILX_GIL_UNAVAILABLE;
}

/* Return the place at an offset, which may be wrong by any amount. */
static const void *at(const void *start, uint64_t offset) {
    return (const void *)((uintptr_t)start + (uintptr_t)offset);
}

/* ---- places of each version ------------------------------------------------------- */

/* Set the places of the words of a GIL that starts with its interval. */
static void set_words(gilx_gil *gil, const void *start) {
    gil->words = (gilx_gil_words){
        .interval = at(start, offsetof(gilx_gil_struct, interval)),
        .holder = at(start, offsetof(gilx_gil_struct, holder)),
        .locked = at(start, offsetof(gilx_gil_struct, locked)),
        .switches = at(start, offsetof(gilx_gil_struct, switches)),
    };
}

/* Take the places that CPython's headers give. */
static gilx_gil_status locate_by_headers(gilx_gil *gil, gilx_memory *memory,
                                         const gilx_interpreter *interpreter,
                                         const gilx_layout *layout) {
    const void *state = at(interpreter->runtime, (uint64_t)layout->runtime_gil);
    if (layout->interpreter_gil != 0 &&
        !gilx_memory_read(memory,
                          at(interpreter->interpreter, (uint64_t)layout->interpreter_gil),
                          &state, sizeof(state))) {
        return refuse(gil, "the interpreter does not say where its GIL is");
    }
    set_words(gil, state);
    gil->states = (gilx_thread_state_layout){
        .tid = layout->tid,
        .id = layout->id,
        .next = layout->next,
        .first = at(interpreter->interpreter, (uint64_t)layout->interpreter_threads),
    };
    gil->backend = "internal headers";
    return GILX_GIL_FOUND;
}

/* Take the places that the runtime's table of offsets gives. */
static gilx_gil_status locate_by_table(gilx_gil *gil, gilx_memory *memory,
                                       const gilx_interpreter *interpreter,
                                       const gilx_layout *layout) {
    uint64_t table[GILX_TABLE_WORDS];
    if (!gilx_memory_read(memory, interpreter->runtime, table, sizeof(table))) {
        return refuse(gil, "the runtime can't be read: %s", strerror(errno));
    }
    if (memcmp(&table[GILX_TABLE_COOKIE], "xdebugpy", sizeof(*table)) != 0) {
        return refuse(gil, "the runtime does not begin with a table of offsets");
    }
    if (table[GILX_TABLE_VERSION] != interpreter->version) {
        return refuse(
            gil,
            "this is version %#llx of CPython, and its table of offsets that of "
            "version %#llx",
            (unsigned long long)interpreter->version,
            (unsigned long long)table[GILX_TABLE_VERSION]);
    }
    const void *state;
    if (!gilx_memory_read(memory, at(interpreter->interpreter, table[layout->table_gil]),
                          &state, sizeof(state))) {
        return refuse(gil, "the interpreter does not say where its GIL is");
    }
    /* The other offsets are for an interpreter that uses the GIL it contains. One that
     * shares another's has its pointer alone, and the places within that. */
    const uint64_t start =
        table[layout->table_holder] - offsetof(gilx_gil_struct, holder);
    if (table[layout->table_locked] - start != offsetof(gilx_gil_struct, locked)) {
        return refuse(gil, "the table of offsets has the GIL's words in another order");
    }
    set_words(gil, at(state, start - table[layout->table_own_gil]));
    gil->states = (gilx_thread_state_layout){
        .tid = (int64_t)table[layout->table_tid],
        .id = layout->id,
        .next = (int64_t)table[layout->table_next],
        .first = at(interpreter->interpreter, table[layout->table_threads]),
    };
    if (layout->table_waits != 0) {
        gil->states.waits = (int64_t)table[layout->table_waits];
    }
    gil->backend = "debug offsets";
    int enabled = INT_MAX; /* less for the moment of an import */
    gil->enabled = table[GILX_TABLE_FREE_THREADED] == 0
                       ? NULL
                       : at(state, table[layout->table_enabled]);
    if (gil->enabled != NULL &&
        !gilx_memory_read(memory, gil->enabled, &enabled, sizeof(enabled))) {
        return refuse(gil, "the interpreter does not say whether its GIL is on");
    }
    if (enabled != INT_MAX) {
        (void)refuse(gil, "this free-threaded Python runs without a GIL: there is none "
                          "to hold");
        return GILX_GIL_NONE;
    }
    return GILX_GIL_FOUND;
}

gilx_gil_status gilx_gil_locate(gilx_gil *gil, gilx_memory *memory,
                                const gilx_interpreter *interpreter) {
    enum { MAJOR_SHIFT = 24, MINOR_SHIFT = 16, MASK = 0xff };
    const uint64_t version = interpreter->version;
    const gilx_layout *layout = gilx_layout_of(version);
    if (layout == NULL) {
        return refuse(gil, "the places of CPython %d.%d (%#llx) are not known",
                      (int)(version >> MAJOR_SHIFT & MASK),
                      (int)(version >> MINOR_SHIFT & MASK), (unsigned long long)version);
    }
    return (layout->table_gil != 0 ? locate_by_table
                                   : locate_by_headers)(gil, memory, interpreter, layout);
}

/* ---- the switch interval as a dye ------------------------------------------------- */

enum { DYES = 4 }; /* each has some 20 bits that are random */

/* Of places that may be those of the interval, keep those that follow it; how many are
 * left, or -1 if it can't be set. The interval is as before then. */
static int follow_interval(gilx_interpreter *interpreter, gilx_memory *memory,
                           const void **places, int count) {
    if (interpreter->set_interval == NULL) {
        return -1;
    }
    uint64_t random = (uint64_t)gilx_now_ns();
    bool set = true;
    for (int round = 0; round < DYES && set; ++round) {
        /* 1 ms to 1 s. */
        const unsigned long interval =
            1000 + (unsigned long)(gilx_split_mix(&random) % 1000000);
        set = interpreter->set_interval(interpreter, interval);
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
    return interpreter->set_interval(interpreter, interpreter->interval) && set ? count
                                                                                : -1;
}

/* ---- certification ---------------------------------------------------------------- */

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

/* Whether the words ever say that the caller, which has released the GIL, does not hold
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

/* Whether the caller's thread state has its native id and its number in their places. */
static bool knows_caller(const gilx_gil *gil, gilx_memory *memory,
                         const gilx_interpreter *interpreter) {
    unsigned long tid;
    uint64_t id = interpreter->id;
    const gilx_thread_state_layout *states = &gil->states;
    return gilx_memory_read(memory, at(interpreter->state, (uint64_t)states->tid), &tid,
                            sizeof(tid)) &&
           (states->id == 0 ||
            gilx_memory_read(memory, at(interpreter->state, (uint64_t)states->id), &id,
                             sizeof(id))) &&
           tid == interpreter->tid && id == interpreter->id;
}

static gilx_gil_status certify(gilx_gil *gil, gilx_memory *memory,
                               gilx_interpreter *interpreter) {
    if (!knows_caller(gil, memory, interpreter)) {
        return refuse(gil,
                      "the thread state does not say which thread it is of (found by %s)",
                      gil->backend);
    }
    const void *interval = gil->words.interval;
    const int followed = follow_interval(interpreter, memory, &interval, 1);
    if (followed == 0) {
        return refuse(gil,
                      "the word taken for the switch interval does not follow it (found "
                      "by %s)",
                      gil->backend);
    }
    /* Beside threads that compute, taking the GIL again lasts a few switch intervals. If
     * the interval can't be set, what happens at releases has to do as proof. */
    const int enough = followed > 0 ? 1 : 3;
    const uintptr_t caller = (uintptr_t)interpreter->state;
    unsigned long switches = 0;
    for (int releases = 0;; ++releases) {
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
        /* What is seen last is a hold, since words that moved meanwhile may have left a
         * copy that says `released`. */
        if (releases == enough) {
            return GILX_GIL_FOUND;
        }
        interpreter->release(interpreter);
        const bool released = seen_released(gil, memory, caller);
        interpreter->take(interpreter);
        if (!released) {
            return refuse(gil,
                          "the words taken for the GIL's do not change when it is "
                          "released (found by %s)",
                          gil->backend);
        }
    }
}

/* ---- search ----------------------------------------------------------------------- */

enum {
    MOST_SEARCHED = 1 << 20, /* bytes of the runtime, and of an interpreter */
    MOST_PLACES = 64,
    MOST_OF_A_STATE = 512, /* bytes of a thread state in which its native id is */
};

/* Add places that look as the interval does while the caller holds the GIL: those of the
 * word before its thread state's address. How many there are then. */
static int add_places(gilx_memory *memory, const void *start, uintptr_t caller,
                      const void **places, int count) {
    static const size_t BEFORE = offsetof(gilx_gil_struct, holder);
    uintptr_t page[GILX_MOST_READ / sizeof(uintptr_t)];
    for (size_t searched = 0; searched < MOST_SEARCHED;) {
        const void *from = at(start, searched);
        /* Up to the end of the page, since the next one may not be there. */
        const size_t size = GILX_MOST_READ - (uintptr_t)from % GILX_MOST_READ;
        if (!gilx_memory_read(memory, from, page, size)) {
            break;
        }
        for (size_t i = 0; i < size / sizeof(*page); ++i) {
            const void *place = at(from, i * sizeof(*page) - BEFORE);
            gilx_gil_struct words;
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
        searched += size;
    }
    return count;
}

/* Return where a thread state has its native id; 0 if that is not in one place alone. */
static int64_t find_tid(gilx_memory *memory, const gilx_interpreter *interpreter) {
    unsigned long words[MOST_OF_A_STATE / sizeof(unsigned long)];
    int64_t found = 0;
    if (!gilx_memory_read(memory, interpreter->state, words, sizeof(words))) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); ++i) {
        if (words[i] == interpreter->tid) {
            if (found != 0) {
                return 0;
            }
            found = (int64_t)(i * sizeof(*words));
        }
    }
    return found;
}

static gilx_gil_status search(gilx_gil *gil, gilx_memory *memory,
                              gilx_interpreter *interpreter) {
    const void *places[MOST_PLACES];
    const uintptr_t caller = (uintptr_t)interpreter->state;
    int count = add_places(memory, interpreter->runtime, caller, places, 0);
    count = add_places(memory, interpreter->interpreter, caller, places, count);
    const int found = follow_interval(interpreter, memory, places, count);
    if (found != 1) {
        return refuse(gil,
                      "in %d places that may be the GIL's, %d follow the switch "
                      "interval",
                      count, found < 0 ? 0 : found);
    }
    set_words(gil, places[0]);
    gil->states = (gilx_thread_state_layout){.tid = find_tid(memory, interpreter)};
    gil->backend = "search";
    return GILX_GIL_FOUND;
}

gilx_gil_status gilx_gil_find(gilx_gil *gil, gilx_memory *memory,
                              gilx_interpreter *interpreter, bool search_only) {
    *gil = (gilx_gil){.backend = NULL};
    gilx_gil_status status = gilx_gil_locate(gil, memory, interpreter);
    if (status == GILX_GIL_FOUND && !search_only) {
        status = certify(gil, memory, interpreter);
    }
    if (status == GILX_GIL_NONE || (status == GILX_GIL_FOUND && !search_only)) {
        return status;
    }
    const gilx_gil first = *gil;
    *gil = (gilx_gil){.backend = NULL};
    status = search(gil, memory, interpreter);
    if (status == GILX_GIL_FOUND) {
        status = certify(gil, memory, interpreter);
    }
    if (status != GILX_GIL_FOUND && first.trouble[0] != '\0') {
        const gilx_gil second = *gil;
        return refuse(gil, "%.140s; %.140s", first.trouble, second.trouble);
    }
    return status;
}
