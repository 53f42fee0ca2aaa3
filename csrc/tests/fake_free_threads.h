/* A made-up interpreter that runs without a GIL, and threads that do one thing each, as
 * far as it and Linux say.
 *
 * Files that include this define _GNU_SOURCE, and DRIVER as their name.
 */
#ifndef GILX_TESTS_FAKE_FREE_THREADS_H
#define GILX_TESTS_FAKE_FREE_THREADS_H

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../sampler/free_threads.h"
#include "../sampler/free_tracking.h"
#include "../sampler/layouts.h"
#include "../sampler/linux_threads.h"
#include "../sampler/sampler.h"
#include "../sampler/sampler_state.h"
#include "../sampler/thread_activity.h"
#include "../sampler/world.h"
#include "await_samples.h"

#define expect(truth) expect_at(truth, #truth, __LINE__)

static inline void expect_at(bool truth, const char *what, int line) {
    if (!truth) {
        (void)fprintf(stderr, DRIVER ": line %d, not so: %s\n", line, what);
        exit(1);
    }
}

/* ---- the interpreter -------------------------------------------------------------- */

enum {
    VERSION = 0x030e07f0,
    STATES = 8,
    STATE_SIZE = 512,
    WORLD_AT = 10848, /* where the words on stops are; the sampler does not know */
    GIL_AT = 7808,
    THREADS_AT = 7344,
    INTERPRETER_SIZE = 3 << 15,
    INTERPRETERS_AT = GILX_TABLE_WORDS * 8,
    RUNTIME_SIZE = INTERPRETERS_AT + 8,
};

static _Alignas(16) unsigned char runtime[RUNTIME_SIZE];
static _Alignas(16) unsigned char interpreter[INTERPRETER_SIZE];
static _Alignas(16) unsigned char states[STATES][STATE_SIZE];
static const gilx_layout *layout;

static inline void put(unsigned char *to, int place, const void *word, size_t size) {
    memcpy(to + place, word, size);
}

static inline void put_address(unsigned char *to, int place, uintptr_t word) {
    put(to, place, &word, sizeof(word));
}

static inline _Atomic(int) *state_of(int number) {
    return (_Atomic(int) *)(void *)(states[number] + layout->free.state);
}

static inline _Atomic(uintptr_t) *section_of(int number) {
    return (_Atomic(uintptr_t) *)(void *)(states[number] + layout->free.section);
}

static inline gilx_world_words *stops(void) {
    return (gilx_world_words *)(void *)(interpreter + WORLD_AT);
}

static inline void set_stop(uint8_t requested, uint8_t stopped, uintptr_t requester) {
    gilx_world_words *words = stops();
    atomic_store((_Atomic(uint8_t) *)&words->requested, requested);
    atomic_store((_Atomic(uint8_t) *)&words->stopped, stopped);
    atomic_store((_Atomic(uintptr_t) *)&words->requester, requester);
}

static inline void make_interpreter(bool has_gil) {
    uint64_t *table = (uint64_t *)(void *)runtime;
    memset(runtime, 0, sizeof(runtime));
    memset(interpreter, 0, sizeof(interpreter));
    memset(states, 0, sizeof(states));
    memcpy(&table[GILX_TABLE_COOKIE], "xdebugpy", sizeof(*table));
    table[GILX_TABLE_VERSION] = VERSION;
    table[GILX_TABLE_FREE_THREADED] = 1;
    table[layout->table_threads] = THREADS_AT;
    table[layout->table_gil] = GIL_AT - 8;
    table[layout->table_own_gil] = GIL_AT;
    table[layout->table_enabled] = 0;
    table[layout->table_holder] = GIL_AT + 16;
    table[layout->table_locked] = GIL_AT + 24;
    table[layout->table_next] = (uint64_t)layout->next == 0 ? 8 : (uint64_t)layout->next;
    table[layout->table_tid] = 160;
    table[layout->table_interpreters] = INTERPRETERS_AT;
    table[layout->table_interpreter] = 16;
    put_address(runtime, INTERPRETERS_AT, (uintptr_t)interpreter);
    put_address(interpreter, GIL_AT - 8, (uintptr_t)(interpreter + GIL_AT));
    const int enabled = has_gil ? INT_MAX : 0;
    put(interpreter, GIL_AT, &enabled, sizeof(enabled));
    put_address(interpreter, THREADS_AT, (uintptr_t)states[0]);
    for (int i = 0; i < STATES; ++i) {
        put_address(states[i], 8, i + 1 < STATES ? (uintptr_t)states[i + 1] : 0);
        put_address(states[i], 16, (uintptr_t)interpreter);
    }
    /* Words that look like those on stops, but for one thing each. */
    for (int i = 0; i < 4; ++i) {
        gilx_world_words words = {.requested = i != 0,
                                  .stopped = i != 1,
                                  .global = i == 2,
                                  .countdown = i == 3,
                                  .requester = (uintptr_t)states[0]};
        memcpy(interpreter + 512 + 64 * i, &words, sizeof(words));
    }
}

static inline void set_tid(int number, int64_t tid) {
    const unsigned long word = (unsigned long)tid;
    put(states[number], 160, &word, sizeof(word));
}

/* ---- what threads wait for -------------------------------------------------------- */

/* As csrc/sampler/free_threads.c has it. */
typedef struct {
    uintptr_t argument, address;
    _Atomic(uint32_t) futex;
    unsigned char semaphore[28];
    uintptr_t next, previous;
} entry;

/* A list of one entry and its root. */
typedef struct {
    entry entry;
    uintptr_t root_next, root_previous;
} waiting;

static inline void wait_for(waiting *one, uintptr_t address, bool mutex) {
    const uintptr_t node = (uintptr_t)&one->entry.next;
    const uintptr_t root = (uintptr_t)&one->root_next;
    one->entry.argument = mutex;
    one->entry.address = address;
    atomic_store(&one->entry.futex, 0);
    one->entry.next = one->entry.previous = root;
    one->root_next = one->root_previous = node;
}

static uintptr_t type_of_types[16];
static _Alignas(16) uintptr_t object[8], type[16], metatype[16];

static inline void make_type(const char *name) {
    type_of_types[3] = (uintptr_t)type_of_types;
    metatype[3] = (uintptr_t)type_of_types;
    type[3] = (uintptr_t)metatype;
    type[5] = (uintptr_t)name;
    object[3] = (uintptr_t)type;
}

/* ---- threads ---------------------------------------------------------------------- */

typedef enum { ATTACHED, DETACHED, SPINNING, PARKED, STOPPED, READING, ACTORS } role;

#ifdef GILX_EMULATED
static const bool EMULATED = true;
#else
static const bool EMULATED = false;
#endif

/* Whether one thread runs at a time: then those that compute also wait for one another,
 * in system calls of valgrind. */
#ifdef GILX_SERIALIZED
static const bool SERIALIZED = true;
#else
static const bool SERIALIZED = false;
#endif

static const gilx_activity EXPECTED[ACTORS] = {
    GILX_ON_CPU, GILX_DETACHED, GILX_SPINS, GILX_AWAITS_LOCK, GILX_STOPPED, GILX_READS,
};

static atomic_bool over;
static _Atomic(int64_t) tids[ACTORS];
static waiting entries[ACTORS];
static int ends[2]; /* of a pipe */

static inline void park(int number, uintptr_t address, bool mutex) {
    waiting *one = &entries[number];
    wait_for(one, address, mutex);
    atomic_store(&tids[number], gilx_own_tid());
    while (!atomic_load(&over)) {
        (void)syscall(SYS_futex, &one->entry.futex, 128, 0, NULL, NULL, 0);
    }
}

static inline void wake(int number) {
    atomic_store(&entries[number].entry.futex, 1);
    (void)syscall(SYS_futex, &entries[number].entry.futex, 129, 1, NULL, NULL, 0);
}

static inline void *act(void *argument) {
    const int number = *(const int *)argument;
    set_tid(number, gilx_own_tid());
    if (number == PARKED) {
        park(number, (uintptr_t)object + 10, true);
    } else if (number == STOPPED) {
        park(number, (uintptr_t)state_of(number), false);
    } else {
        atomic_store(&tids[number], gilx_own_tid());
        char byte;
        while (number == READING ? read(ends[0], &byte, 1) > 0 : !atomic_load(&over)) {
        }
    }
    return NULL;
}

/* Wait until a thread is in a system call with this first argument, if Linux says so. An
 * emulator makes the calls of another processor. */
static inline void await_call(int number, long call, uintptr_t argument) {
    char path[64], text[256], expected[64];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%" PRId64 "/syscall",
                   atomic_load(&tids[number]));
    const int length =
        snprintf(expected, sizeof(expected), "%ld 0x%" PRIxPTR " ", call, argument);
    for (;;) {
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            return;
        }
        const bool known = fgets(text, sizeof(text), file) != NULL;
        (void)fclose(file);
        if (!known || EMULATED || strncmp(text, expected, (size_t)length) == 0) {
            return;
        }
        gilx_sleep_ns(1000 * 1000);
    }
}

/* Start a thread for each role. The one that is attached is late for a stop that the
 * reading one asks for. */
static inline void start_actors(pthread_t threads[ACTORS]) {
    static uintptr_t section[2]; /* without a mutex: it waits for one */
    static int numbers[ACTORS];
    atomic_store(&over, false);
    expect(pipe(ends) == 0);
    make_type("list");
    set_tid(0, 0); /* the first state becomes another thread's, the last the caller's */
    set_tid(STATES - 1, gilx_own_tid());
    atomic_store(state_of(STATES - 1), GILX_STATE_DETACHED);
    atomic_store(state_of(ATTACHED), GILX_STATE_ATTACHED);
    atomic_store(state_of(DETACHED), GILX_STATE_SUSPENDED);
    atomic_store(state_of(SPINNING), GILX_STATE_ATTACHED);
    atomic_store(state_of(PARKED), GILX_STATE_DETACHED);
    atomic_store(state_of(STOPPED), GILX_STATE_SUSPENDED);
    atomic_store(section_of(SPINNING), (uintptr_t)section | 2);
    atomic_store(section_of(ATTACHED), (uintptr_t)section | 1); /* inactive */
    for (int i = 0; i < ACTORS; ++i) {
        numbers[i] = i;
        atomic_store(&tids[i], 0);
        expect(pthread_create(&threads[i], NULL, act, &numbers[i]) == 0);
    }
    for (int i = 0; i < ACTORS; ++i) {
        while (atomic_load(&tids[i]) == 0) {
            gilx_sleep_ns(1000 * 1000);
        }
    }
    await_call(PARKED, SYS_futex, (uintptr_t)&entries[PARKED].entry.futex);
    await_call(STOPPED, SYS_futex, (uintptr_t)&entries[STOPPED].entry.futex);
    await_call(READING, SYS_read, (uintptr_t)ends[0]);
}

static inline void end_actors(pthread_t threads[ACTORS]) {
    set_stop(0, 0, 0);
    atomic_store(&over, true);
    wake(PARKED);
    wake(STOPPED);
    close(ends[1]);
    for (int i = 0; i < ACTORS; ++i) {
        expect(pthread_join(threads[i], NULL) == 0);
    }
    close(ends[0]);
}

/* ---- what is expected of a sampler ------------------------------------------------ */

/* Let the threads run for a while. */
static inline void await_samples(gilx_sampler *sampler) {
    await_samples_for(sampler, 150 * 1000 * 1000);
}

/* Expect of a thread what its role is. */
static inline void expect_role(const gilx_totals *totals,
                               const gilx_thread_activities *does, int number) {
    expect((does->asked_stops > 0) == (number == READING));
    expect((does->late > 0) == (number == ATTACHED || number == SPINNING));
    if (!totals->calls) {
        return;
    }
    expect(does->sums[EXPECTED[number]].time > 0);
    for (int i = 0; i < GILX_ACTIVITIES; ++i) {
        expect(i == (int)EXPECTED[number] || does->sums[i].time == 0 ||
               (number <= SPINNING && SERIALIZED));
    }
    expect((does->ready > 0) == (number <= SPINNING));
    expect(does->without_cpu <= does->ready);
    expect(does->spun_without_cpu.time == (number == SPINNING ? does->without_cpu : 0));
    expect(does->clock_last_ns > does->clock_first_ns);
}

/* Wait until threads with these ids were found in their roles. On a busy machine a thread
 * that could run is long found without a CPU, which says nothing of what it does. */
static inline void await_roles(gilx_sampler *sampler, const int64_t of[ACTORS]) {
    for (int found = 0; found < ACTORS;) {
        gilx_sleep_ns(1000 * 1000);
        pthread_mutex_lock(&sampler->sums);
        found = sampler->totals.calls ? 0 : ACTORS;
        for (int i = 0; i < sampler->table.count; ++i) {
            const gilx_watched_thread *thread = &sampler->table.threads[i];
            for (int j = 0; j < ACTORS; ++j) {
                found += thread->tid == of[j] && thread->does.sums[EXPECTED[j]].time > 0;
            }
        }
        pthread_mutex_unlock(&sampler->sums);
    }
}

/* Expect that threads with these ids were found in their roles. */
static inline void expect_roles(const gilx_sampler *sampler, const int64_t of[ACTORS]) {
    const gilx_watched_thread *found;
    const int count = gilx_sampler_threads(sampler, &found);
    int actors = 0;
    for (int i = 0; i < count; ++i) {
        for (int j = 0; j < ACTORS; ++j) {
            if (found[i].tid == of[j]) {
                expect_role(gilx_sampler_totals(sampler), &found[i].does, j);
                ++actors;
            }
        }
    }
    expect(actors == ACTORS);
}

/* Expect that the locks were found for which threads wait. */
static inline void expect_locks(const gilx_sampler *sampler) {
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    double parked = 0, spun = 0;
    for (int i = 0; i < tracking->locks.count; ++i) {
        const gilx_lock_wait *one = &tracking->locks.all[i];
        parked += one->kind == GILX_LOCK_OBJECT && strcmp(one->type, "list") == 0 &&
                          one->address == (uintptr_t)object + 10
                      ? one->time
                      : 0;
        spun += one->kind == GILX_LOCK_SPINS ? one->time : 0;
    }
    expect(!gilx_sampler_totals(sampler)->calls || (parked > 0 && spun > 0));
}

#endif
