#define _POSIX_C_SOURCE 200809L

#include "process_gil.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../platform/clock.h"
#include "elf_symbols.h"
#include "frame_words.h"
#include "linux_threads.h"
#include "nested_ids.h"
#include "world.h"

enum {
    READINGS = 20,           /* that must all be those of a GIL, */
    MOST_STRANGE = 40,       /* but for so many: words change while they are read, */
    MOST_TORN = 10,          /* and lists while threads start and end */
    MOST_LISTED = 1 << 16,   /* interpreters, and thread states, in case a list is torn */
    BETWEEN_NS = 100 * 1000, /* readings */
    LONGEST_INTERVAL = 1000 * 1000 * 1000,
    TYPE_NAME = 24,  /* offset of a type's name, */
    OBJECT_TYPE = 8, /* and of an object's type: the same in all builds with a GIL */
};

static gilx_gil_status refuse(gilx_process_gil *found, const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(found->gil.trouble, sizeof(found->gil.trouble), format, values);
    va_end(values);
    return GILX_GIL_UNAVAILABLE;
}

/* ---- the runtime ------------------------------------------------------------------ */

typedef struct {
    uintptr_t runtime;
    gilx_mapped_file file; /* that exports it */
    int files;             /* number of files that were searched */
} runtime_place;

/* Find the runtime of CPython; a version of 0 says that it is none of 3.11 or newer. */
static bool find_runtime(gilx_process_gil *found, gilx_memory *memory,
                         runtime_place *place) {
    gilx_mapped_file *files;
    const int count = gilx_mapped_files(memory->process, &files);
    *place = (runtime_place){.files = count};
    for (int i = 0; i < count && place->runtime == 0; ++i) {
        place->runtime = gilx_exported_symbol(memory, &files[i], "_PyRuntime");
        place->file = files[i];
    }
    found->lock_known =
        gilx_maps_file_of(files, count, (const void *)(uintptr_t)&pthread_cond_timedwait);
    free(files);
    unsigned long version = 0;
    const uintptr_t where =
        place->runtime == 0 ? 0
                            : gilx_exported_symbol(memory, &place->file, "Py_Version");
    if (where != 0 &&
        gilx_memory_read(memory, (const void *)where, &version, sizeof(version))) {
        found->version = version;
    }
    return count >= 0;
}

/* Return the offset that a version has in its headers, or its runtime's table. */
static bool place_of(gilx_memory *memory, uintptr_t runtime, int table_word, int offset,
                     uint64_t *place) {
    *place = (uint64_t)offset;
    return table_word == 0 ||
           gilx_memory_read(
               memory, (const void *)(runtime + (uintptr_t)table_word * sizeof(*place)),
               place, sizeof(*place));
}

/* Return the main interpreter, which is the oldest; 0 if there is none. */
static uintptr_t main_interpreter(gilx_memory *memory, uintptr_t runtime,
                                  const gilx_layout *layout) {
    uint64_t head, next;
    uintptr_t interpreter = 0, older;
    if (!place_of(memory, runtime, layout->table_interpreters,
                  layout->runtime_interpreters, &head) ||
        !place_of(memory, runtime, layout->table_interpreter_next,
                  layout->interpreter_next, &next) ||
        !gilx_read_word(memory, runtime, (int64_t)head, &older)) {
        return 0;
    }
    for (int i = 0; i < MOST_LISTED && older != 0; ++i) {
        interpreter = older;
        if (!gilx_read_word(memory, interpreter, (int64_t)next, &older)) {
            return 0;
        }
    }
    return older == 0 ? interpreter : 0;
}

/* ---- certification ---------------------------------------------------------------- */

/* Return whether a thread state is in the interpreter's list. */
static bool is_listed(gilx_memory *memory, const gilx_gil *gil, uintptr_t sought) {
    uintptr_t state;
    if (!gilx_read_word(memory, (uintptr_t)gil->states.first, 0, &state)) {
        return false;
    }
    for (int i = 0; i < MOST_LISTED && state != 0; ++i) {
        if (state == sought) {
            return true;
        }
        if (!gilx_read_word(memory, state, gil->states.next, &state)) {
            return false;
        }
    }
    return false;
}

/* Find out whether thread states are of an interpreter, and name threads of the process;
 * how many do, or -1 if a state is another interpreter's. */
static int known_states(gilx_memory *memory, const gilx_gil *gil, uintptr_t interpreter,
                        uint64_t offset, gilx_nested_ids *nested) {
    uintptr_t state, other;
    unsigned long tid;
    int known = 0;
    if (!gilx_read_word(memory, (uintptr_t)gil->states.first, 0, &state)) {
        return 0;
    }
    for (int i = 0; i < MOST_LISTED && state != 0; ++i) {
        if (!gilx_read_word(memory, state, (int64_t)offset, &other) ||
            !gilx_read_word(memory, state, gil->states.tid, &tid)) {
            break; /* it has gone meanwhile */
        }
        if (other != interpreter) {
            return -1;
        }
        int64_t id = tid <= INT32_MAX ? (int64_t)tid : 0;
        if (nested != NULL) {
            id = gilx_outer_id(nested, id);
        }
        known += gilx_start_of(memory->process, id) != 0;
        if (!gilx_read_word(memory, state, gil->states.next, &state)) {
            break;
        }
    }
    return known;
}

/* Return the word that a reading can't be a GIL's for, NULL if it may be one. */
static const char *strange_word(gilx_memory *memory, const gilx_gil *gil,
                                const gilx_gil_struct *now, unsigned long switches) {
    if (now->interval == 0 || now->interval > LONGEST_INTERVAL) {
        return "switch interval";
    }
    if (now->locked != 0 && now->locked != 1) {
        return "lock";
    }
    if (now->switches < switches) {
        return "count of switches";
    }
    return now->locked == 1 && !is_listed(memory, gil, now->holder) ? "holder" : NULL;
}

static gilx_gil_status certify(gilx_process_gil *found, gilx_memory *memory,
                               uintptr_t interpreter, uint64_t offset) {
    const gilx_gil *gil = &found->gil;
    gilx_nested_ids *nested = NULL;
    if (gilx_is_nested(memory->process)) {
        nested = gilx_nested_ids_new(memory->process);
        if (nested == NULL) {
            return refuse(found, "memory ran out while listing its threads");
        }
    }
    int known = known_states(memory, gil, interpreter, offset, nested);
    /* The memory of one that ended while the list was read may be another's by then. */
    for (int i = 0; i < MOST_TORN && known <= 0; ++i) {
        gilx_sleep_ns(BETWEEN_NS);
        known = known_states(memory, gil, interpreter, offset, nested);
    }
    free(nested);
    if (known <= 0) {
        return refuse(found,
                      known < 0 ? "a thread state is of another interpreter (found by %s)"
                                : "no thread state names a thread of the process (found "
                                  "by %s)",
                      gil->backend);
    }
    unsigned long switches = 0;
    int strange = 0;
    for (int i = 0; i < READINGS + strange; ++i) {
        gilx_gil_struct now;
        if (!gilx_memory_read(memory, gil->words.interval, &now, sizeof(now))) {
            return refuse(found, "the GIL's words can't be read: %s", strerror(errno));
        }
        const char *word = strange_word(memory, gil, &now, switches);
        if (word == NULL) {
            switches = now.switches;
            found->interval = now.interval;
        } else if (++strange > MOST_STRANGE) {
            return refuse(found,
                          "the word taken for the GIL's %s can't be that (found by "
                          "%s)",
                          word, gil->backend);
        }
        gilx_sleep_ns(BETWEEN_NS);
    }
    return GILX_GIL_FOUND;
}

/* ---- stacks ----------------------------------------------------------------------- */

/* Return whether an object is of a type. */
static bool is_of(gilx_memory *memory, uintptr_t object, uintptr_t type) {
    uintptr_t word;
    return object != 0 && type != 0 &&
           gilx_read_word(memory, object, OBJECT_TYPE, &word) && word == type;
}

/* Find what stacks need, if code objects and the garbage collector's lists are where they
 * are known to be. */
static void find_stacks(gilx_process_gil *found, gilx_memory *memory,
                        const runtime_place *place, uintptr_t interpreter,
                        const gilx_stack_layout *stacks, int64_t type_name) {
    static const char CODE[] = "code";
    char name[sizeof(CODE)];
    uintptr_t at, garbage, callbacks;
    const uintptr_t code = gilx_exported_symbol(memory, &place->file, "PyCode_Type");
    if (stacks == NULL || code == 0 || !gilx_read_word(memory, code, type_name, &at) ||
        !gilx_memory_read(memory, (const void *)at, name, sizeof(name)) ||
        memcmp(name, CODE, sizeof(CODE)) != 0) {
        return;
    }
    found->stacks = stacks;
    found->code_type = code;
    const uintptr_t list = gilx_exported_symbol(memory, &place->file, "PyList_Type");
    const int64_t lists = stacks->garbage;
    if (gilx_read_word(memory, interpreter, lists, &garbage) &&
        gilx_read_word(memory, interpreter, lists + (int64_t)sizeof(garbage),
                       &callbacks) &&
        is_of(memory, garbage, list) && is_of(memory, callbacks, list)) {
        found->collecting = (const int *)(interpreter + (uintptr_t)stacks->collecting);
    }
}

/* ---- without a GIL ---------------------------------------------------------------- */

/* Return the offset in the interpreter at which a release has the words on stops, which
 * its table of offsets does not give and which moved between releases; 0: not known. */
static int64_t world_of_release(uint64_t version) {
    enum { RELEASE_3_14_7 = 0x030e07f0, WORLD_3_14_7 = 10848 };
    return version == RELEASE_3_14_7 ? WORLD_3_14_7 : 0;
}

/* Return whether words may be those on stops: who asked is a thread of the interpreter.
 */
static bool may_be_stops(gilx_memory *memory, const gilx_gil *gil,
                         const gilx_world_words *words) {
    return words->requested <= 1 && words->stopped <= 1 && words->global == 0 &&
           words->countdown >= 0 && words->countdown < MOST_LISTED &&
           (words->requester == 0 || is_listed(memory, gil, words->requester));
}

void gilx_process_world_find(gilx_process_gil *found, gilx_memory *memory,
                             int64_t offset) {
    const uintptr_t address = (uintptr_t)found->interpreter + (uintptr_t)offset;
    int strange = 0;
    found->free.world = 0;
    if (offset == 0) {
        found->free.world_missing =
            "where this release of CPython keeps its words on stops is not known";
        return;
    }
    for (int i = 0; i < READINGS + strange && strange <= MOST_TORN; ++i) {
        gilx_world_words words;
        strange +=
            !gilx_memory_read(memory, (const void *)address, &words, sizeof(words)) ||
            !may_be_stops(memory, &found->gil, &words);
        gilx_sleep_ns(BETWEEN_NS);
    }
    const bool certain = strange <= MOST_TORN;
    found->free.world = certain ? address : 0;
    found->free.world_missing =
        certain ? "" : "the words taken for those on stops can't be that";
}

/* Return whether all threads are in states that there are, in many readings. */
static bool has_states(gilx_memory *memory, const gilx_process_gil *found,
                       int64_t place) {
    enum { LAST_STATE = 3 };
    int strange = 0;
    for (int i = 0; i < READINGS + strange && strange <= MOST_TORN; ++i) {
        uintptr_t state;
        bool known =
            gilx_read_word(memory, (uintptr_t)found->gil.states.first, 0, &state);
        for (int j = 0; known && j < MOST_LISTED && state != 0; ++j) {
            int word;
            known = gilx_memory_read(memory, (const void *)(state + (uintptr_t)place),
                                     &word, sizeof(word)) &&
                    word >= 0 && word <= LAST_STATE &&
                    gilx_read_word(memory, state, found->gil.states.next, &state);
        }
        strange += !known; /* it may have ended meanwhile */
        gilx_sleep_ns(BETWEEN_NS);
    }
    return strange <= MOST_TORN;
}

/* Find out where the threads of a process without a GIL are read. */
static gilx_gil_status find_free_threads(gilx_process_gil *found, gilx_memory *memory,
                                         const runtime_place *place,
                                         const gilx_layout *layout, uint64_t offset) {
    const gilx_free_layout *places = gilx_free_layout_of(layout);
    const uintptr_t interpreter = (uintptr_t)found->interpreter;
    const uintptr_t types = gilx_exported_symbol(memory, &place->file, "PyType_Type");
    if (places == NULL) {
        (void)refuse(found, "it runs without a GIL, and where this version of CPython "
                            "keeps what its threads do is not known: of 3.14 it is");
        return GILX_GIL_NONE;
    }
    if (gilx_is_nested(memory->process)) {
        (void)refuse(found, "it runs without a GIL, and in a container whose numbers of "
                            "threads are others");
        return GILX_GIL_NONE;
    }
    if (types == 0 || known_states(memory, &found->gil, interpreter, offset, NULL) <= 0 ||
        !has_states(memory, found, places->state)) {
        (void)refuse(found,
                     "the words taken for the states of its threads can't be that");
        return GILX_GIL_NONE;
    }
    found->free = (gilx_free_threads){.places = *places,
                                      .states = found->gil.states,
                                      .type_of_types = types,
                                      .sections = true,
                                      .world_missing = "",
                                      .gil_enabled = found->gil.enabled};
    gilx_process_world_find(found, memory, world_of_release(found->version));
    const uintptr_t words = (uintptr_t)found->gil.words.interval;
    found->gil.words = (gilx_gil_words){.process = memory->process, .original = words};
    found->gil.backend = "thread states";
    find_stacks(found, memory, place, interpreter, gilx_free_stack_layout_of(layout),
                places->type_name);
    found->collecting = NULL;
    return GILX_GIL_NONE;
}

/* ---- all of it -------------------------------------------------------------------- */

/* Return whether the runtime is that of a free-threaded build. */
static bool is_free_threaded(gilx_memory *memory, uintptr_t runtime,
                             const gilx_layout *layout) {
    uintptr_t word = 0;
    return layout->table_gil != 0 &&
           gilx_read_word(memory, runtime,
                          GILX_TABLE_FREE_THREADED * (int64_t)sizeof(uint64_t), &word) &&
           word != 0;
}

gilx_gil_status gilx_process_gil_find(gilx_process_gil *found, gilx_memory *memory) {
    enum { MAJOR_SHIFT = 24, MINOR_SHIFT = 16, MASK = 0xff };
    *found = (gilx_process_gil){.version = 0};
    runtime_place place;
    if (!find_runtime(found, memory, &place)) {
        return refuse(found, "its mapped files can't be read: %s", strerror(errno));
    }
    if (place.runtime == 0) {
        return refuse(found,
                      "no CPython is in it: none of the %d files that it has mapped "
                      "exports _PyRuntime",
                      place.files);
    }
    if (found->version == 0) {
        return refuse(found,
                      "it runs CPython 3.10 or older; 3.11 to 3.15 can be watched");
    }
    const gilx_layout *layout = gilx_layout_of(found->version);
    if (layout == NULL) {
        return refuse(found,
                      "it runs CPython %d.%d (%#llx); final releases of 3.11 to 3.15 can "
                      "be watched",
                      (int)(found->version >> MAJOR_SHIFT & MASK),
                      (int)(found->version >> MINOR_SHIFT & MASK),
                      (unsigned long long)found->version);
    }
    const uintptr_t interpreter = main_interpreter(memory, place.runtime, layout);
    uint64_t offset;
    if (interpreter == 0 || !place_of(memory, place.runtime, layout->table_interpreter,
                                      layout->interpreter, &offset)) {
        return refuse(found, "its Python has not started yet, or has ended");
    }
    const gilx_interpreter theirs = {
        .version = found->version,
        .runtime = (const void *)place.runtime,
        .interpreter = (const void *)interpreter,
    };
    found->interpreter = theirs.interpreter;
    gilx_gil_status status = gilx_gil_locate(&found->gil, memory, &theirs);
    if (status == GILX_GIL_NONE) {
        return find_free_threads(found, memory, &place, layout, offset);
    }
    if (status == GILX_GIL_FOUND) {
        status = certify(found, memory, interpreter, offset);
    }
    if (status == GILX_GIL_FOUND) {
        const uintptr_t words = (uintptr_t)found->gil.words.interval;
        found->gil.words =
            (gilx_gil_words){.process = memory->process, .original = words};
        find_stacks(
            found, memory, &place, interpreter,
            gilx_stack_layout_of(layout, is_free_threaded(memory, place.runtime, layout)),
            TYPE_NAME);
    }
    return status;
}
