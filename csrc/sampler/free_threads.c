#define _POSIX_C_SOURCE 200809L

#include "free_threads.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame_words.h"
#include "world.h"

/* ---- how threads wait ------------------------------------------------------------- */

/* What CPython has on the stack of a thread that waits, with glibc's semaphore, which
 * begins with the futex. */
typedef struct {
    uintptr_t argument; /* 0 if it waits for an event */
    uintptr_t address;
    unsigned char semaphore[32];
    uintptr_t next, previous; /* of the list that it is in */
} wait_entry;

enum { FUTEX_IN_ENTRY = 16, NEXT_IN_ENTRY = 48, PREVIOUS_IN_NODE = 8 };

_Static_assert(sizeof(void *) != 8 ||
                   (offsetof(wait_entry, semaphore) == FUTEX_IN_ENTRY &&
                    offsetof(wait_entry, next) == NEXT_IN_ENTRY),
               "the entry of a thread that waits has no gaps");

uintptr_t gilx_futex_in(const char *text) {
    const char *space = strchr(text, ' ');
    return space == NULL ? 0 : (uintptr_t)strtoull(space, NULL, 16);
}

gilx_wait gilx_free_wait(const gilx_free_threads *threads, gilx_memory *memory,
                         uintptr_t futex, uintptr_t state) {
    const gilx_wait unknown = {.kind = GILX_WAIT_UNKNOWN};
    const uintptr_t start = futex - FUTEX_IN_ENTRY;
    wait_entry entry;
    uintptr_t back;
    if (futex < FUTEX_IN_ENTRY ||
        !gilx_memory_read(memory, (const void *)start, &entry, sizeof(entry)) ||
        !gilx_read_word(memory, entry.next, PREVIOUS_IN_NODE, &back) ||
        back != start + NEXT_IN_ENTRY) {
        return unknown; /* its neighbour in the list does not know it */
    }
    gilx_wait wait = {.kind = entry.argument != 0 ? GILX_WAIT_MUTEX : GILX_WAIT_EVENT,
                      .address = entry.address};
    const bool own_state =
        state != 0 && entry.address == state + (uintptr_t)threads->places.state;
    const bool stop = threads->world != 0 && entry.address >= threads->world &&
                      entry.address < threads->world + sizeof(gilx_world_words);
    if (own_state || stop) {
        wait.kind = GILX_WAIT_WORLD;
    }
    return wait;
}

/* Copy a text that ends with 0, or its beginning. It may lie at the end of what is
 * mapped. */
static bool read_name(gilx_memory *memory, uintptr_t from,
                      char name[GILX_TYPE_NAME_SIZE]) {
    for (int i = 0; i < GILX_TYPE_NAME_SIZE - 1; ++i) {
        name[i + 1] = '\0';
        if (!gilx_memory_read(memory, (const void *)(from + (uintptr_t)i), &name[i], 1)) {
            return false;
        }
        if (name[i] == '\0') {
            break;
        }
        if (name[i] < ' ' || name[i] > '~') { /* no type has such a name in C */
            return false;
        }
    }
    return name[0] != '\0';
}

bool gilx_free_type_of(const gilx_free_threads *threads, gilx_memory *memory,
                       uintptr_t lock, char name[GILX_TYPE_NAME_SIZE]) {
    enum { ALIGNMENT = 16 };
    const gilx_free_layout *places = &threads->places;
    /* The lock that each object has, or one that is its first member. */
    const uintptr_t in_header = (uintptr_t)places->object_mutex;
    const uintptr_t offset =
        lock % ALIGNMENT == in_header ? in_header : (uintptr_t)places->object_size;
    const uintptr_t object = lock - offset;
    const int64_t at = places->object_type;
    uintptr_t type, metatype, metatype_of_that, text;
    if (lock < offset || object % ALIGNMENT != 0 ||
        !gilx_read_word(memory, object, at, &type) ||
        !gilx_read_word(memory, type, at, &metatype) ||
        !gilx_read_word(memory, metatype, at, &metatype_of_that) ||
        metatype_of_that != threads->type_of_types ||
        !gilx_read_word(memory, type, places->type_name, &text)) {
        return false;
    }
    return read_name(memory, text, name);
}

/* ---- one thread ------------------------------------------------------------------- */

gilx_free_reading gilx_free_read(const gilx_free_threads *threads, gilx_memory *memory,
                                 uintptr_t state, int64_t tid) {
    enum { INACTIVE = 1, TAGS = 3 };
    const gilx_free_layout *places = &threads->places;
    struct {
        unsigned long tid;
        uintptr_t section;
        int state, padding;
    } words;
    const gilx_range ranges[] = {
        {state + (uintptr_t)threads->states.tid, sizeof(words.tid)},
        {state + (uintptr_t)places->section, sizeof(words.section)},
        {state + (uintptr_t)places->state, sizeof(words.state)},
    };
    const size_t whole = sizeof(words) - sizeof(words.padding);
    gilx_free_reading reading = {.known = false};
    if (state == 0 || gilx_memory_copy(memory, ranges, 3, &words) != whole ||
        words.tid != (unsigned long)tid) {
        return reading;
    }
    reading.known = true;
    reading.state = words.state;
    uintptr_t mutex;
    if (threads->sections && words.section != 0 && (words.section & INACTIVE) == 0 &&
        gilx_read_word(memory, words.section & ~(uintptr_t)TAGS, places->section_mutex,
                       &mutex)) {
        reading.wants_lock = mutex == 0; /* it is noted when it is taken */
    }
    return reading;
}

/* ---- certification ---------------------------------------------------------------- */

typedef struct {
    gilx_free_threads *threads;
    gilx_memory *memory;
    const gilx_free_interpreter *interpreter;
    uintptr_t section; /* that the caller was in, */
    uintptr_t mutex;   /* and what was locked there */
    int places;        /* at which the words on stops may be, and the last of these */
    uintptr_t place;
} search;

static bool refuse(char trouble[300], const char *format, ...) {
    va_list values;
    va_start(values, format);
    (void)vsnprintf(trouble, 300, format, values);
    va_end(values);
    return false;
}

static int own_state(const gilx_free_threads *threads, gilx_memory *memory,
                     const gilx_interpreter *interpreter) {
    const gilx_free_reading reading = gilx_free_read(
        threads, memory, (uintptr_t)interpreter->state, (int64_t)interpreter->tid);
    return reading.known ? reading.state : -1;
}

/* Return whether the caller's state follows what it does. */
static bool follows_caller(const gilx_free_threads *threads, gilx_memory *memory,
                           gilx_interpreter *interpreter) {
    enum { TIMES = 3 };
    for (int i = 0; i < TIMES; ++i) {
        if (own_state(threads, memory, interpreter) != GILX_STATE_ATTACHED) {
            return false;
        }
        interpreter->release(interpreter);
        const int released = own_state(threads, memory, interpreter);
        interpreter->take(interpreter);
        /* Another thread may be stopping the world meanwhile. */
        if (released != GILX_STATE_DETACHED && released != GILX_STATE_SUSPENDED) {
            return false;
        }
    }
    return own_state(threads, memory, interpreter) == GILX_STATE_ATTACHED;
}

static void note_section(void *context) {
    search *one = context;
    const gilx_free_layout *places = &one->threads->places;
    const uintptr_t state = (uintptr_t)one->interpreter->base->state;
    if (!gilx_read_word(one->memory, state, places->section, &one->section) ||
        !gilx_read_word(one->memory, one->section, places->section_mutex, &one->mutex)) {
        one->section = 0;
    }
}

/* Return whether the caller's critical section is found, with the lock in it. */
static bool finds_section(search *one, gilx_free_interpreter *interpreter) {
    const uintptr_t object = interpreter->lock(interpreter, note_section, one);
    const uintptr_t inside = one->section;
    uintptr_t after;
    return object != 0 && inside != 0 &&
           one->mutex == object + (uintptr_t)one->threads->places.object_mutex &&
           gilx_read_word(one->memory, (uintptr_t)interpreter->base->state,
                          one->threads->places.section, &after) &&
           after != inside;
}

/* Return whether words say that the caller has stopped all other threads. */
static bool stopped_by_caller(const search *one, const gilx_world_words *words) {
    return words->requested == 1 && words->stopped == 1 && words->global == 0 &&
           words->countdown == 0 &&
           words->requester == (uintptr_t)one->interpreter->base->state;
}

/* Search the interpreter for such words. Called during a stop. */
static void search_words(void *context) {
    enum { MOST_SEARCHED = 1 << 16, STEP = sizeof(uintptr_t) };
    search *one = context;
    unsigned char page[GILX_MOST_READ];
    const uintptr_t start = (uintptr_t)one->interpreter->base->interpreter;
    const size_t advance = sizeof(page) - sizeof(gilx_world_words) + STEP;
    for (size_t at = 0; at + sizeof(page) <= MOST_SEARCHED; at += advance) {
        if (!gilx_memory_read(one->memory, (const void *)(start + at), page,
                              sizeof(page))) {
            return;
        }
        for (size_t i = 0; i < advance; i += STEP) {
            gilx_world_words words;
            memcpy(&words, page + i, sizeof(words));
            if (stopped_by_caller(one, &words)) {
                ++one->places;
                one->place = start + at + i;
            }
        }
    }
}

static bool read_words(const search *one, gilx_world_words *words) {
    return gilx_memory_read(one->memory, (const void *)one->place, words, sizeof(*words));
}

static void check_words(void *context) {
    search *one = context;
    gilx_world_words words;
    if (!read_words(one, &words) || !stopped_by_caller(one, &words)) {
        one->places = 0;
    }
}

/* Find the words on stops. */
static void find_world(search *one, gilx_free_interpreter *interpreter) {
    enum { STOPS = 2 };
    gilx_free_threads *threads = one->threads;
    const char *reason = NULL;
    if (!interpreter->stop(interpreter, search_words, one)) {
        reason = "this Python can't be stopped for a test";
    } else if (one->places != 1) {
        reason = "the words on stops of this Python can't be found";
    }
    for (int i = 0; i < STOPS && reason == NULL; ++i) {
        gilx_world_words words;
        if (!read_words(one, &words) || stopped_by_caller(one, &words) ||
            !interpreter->stop(interpreter, check_words, one) || one->places == 0) {
            reason = "the words taken for those on stops of this Python do not follow it";
        }
    }
    threads->world = reason == NULL ? one->place : 0;
    threads->world_missing = reason == NULL ? "" : reason;
}

bool gilx_free_threads_find(gilx_free_threads *threads, gilx_memory *memory,
                            gilx_free_interpreter *interpreter, char trouble[300]) {
    enum { MAJOR_SHIFT = 24, MINOR_SHIFT = 16, MASK = 0xff };
    const uint64_t version = interpreter->base->version;
    const gilx_free_layout *places = gilx_free_layout_of(gilx_layout_of(version));
    *threads = (gilx_free_threads){.type_of_types = interpreter->type_of_types,
                                   .world_missing = ""};
    gilx_gil gil;
    if (places == NULL) {
        return refuse(
            trouble,
            "threads of a free-threaded CPython %d.%d (%#llx) can't be watched: "
            "where it keeps what they do is not known",
            (int)(version >> MAJOR_SHIFT & MASK), (int)(version >> MINOR_SHIFT & MASK),
            (unsigned long long)version);
    }
    threads->places = *places;
    const gilx_gil_status status = gilx_gil_find(&gil, memory, interpreter->base, false);
    if (status != GILX_GIL_NONE) {
        return refuse(trouble, "expected a Python without a GIL: %s",
                      status == GILX_GIL_FOUND ? "it has one" : gil.trouble);
    }
    threads->states = gil.states;
    threads->gil_enabled = gil.enabled;
    if (!follows_caller(threads, memory, interpreter->base)) {
        return refuse(trouble, "the word taken for the state of a thread does not say "
                               "whether the thread is attached");
    }
    search one = {.threads = threads, .memory = memory, .interpreter = interpreter};
    threads->sections = finds_section(&one, interpreter);
    find_world(&one, interpreter);
    return true;
}
