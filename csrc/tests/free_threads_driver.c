/* Watches threads of made-up interpreters that run without a GIL.
 *
 * The exit status is 0 if all is right.
 */
#define _GNU_SOURCE

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../sampler/condition.h"
#include "../sampler/free_threads.h"
#include "../sampler/free_tracking.h"
#include "../sampler/layouts.h"
#include "../sampler/linux_threads.h"
#include "../sampler/lock_table.h"
#include "../sampler/monitor.h"
#include "../sampler/sampler.h"
#include "../sampler/sampler_state.h"
#include "../sampler/waiting_frame.h"
#include "../sampler/world.h"

#define expect(truth) expect_at(truth, #truth, __LINE__)

static void expect_at(bool truth, const char *what, int line) {
    if (!truth) {
        (void)fprintf(stderr, "free_threads_driver: line %d, not so: %s\n", line, what);
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
};

/* What an interpreter does wrong. */
typedef enum {
    NOTHING,
    STATE_STAYS,   /* a thread state says attached after a release */
    NO_STOP,       /* it can't be stopped */
    STOPS_TWICE,   /* two places look as if they were the words on stops */
    STOP_STAYS,    /* the words still say stopped when the world goes on */
    NO_SECTION,    /* a critical section does not show */
    OTHER_SECTION, /* another lock is in it */
    HAS_GIL,
    OTHER_THREAD, /* the thread state is not the caller's */
} fault;

static _Alignas(16) unsigned char runtime[GILX_TABLE_WORDS * sizeof(uint64_t)];
static _Alignas(16) unsigned char interpreter[INTERPRETER_SIZE];
static _Alignas(16) unsigned char states[STATES][STATE_SIZE];
static const gilx_layout *layout;

static void put(unsigned char *to, int place, const void *word, size_t size) {
    memcpy(to + place, word, size);
}

static void put_address(unsigned char *to, int place, uintptr_t word) {
    put(to, place, &word, sizeof(word));
}

static _Atomic(int) *state_of(int number) {
    return (_Atomic(int) *)(void *)(states[number] + layout->free.state);
}

static _Atomic(uintptr_t) *section_of(int number) {
    return (_Atomic(uintptr_t) *)(void *)(states[number] + layout->free.section);
}

static gilx_world_words *stops(void) {
    return (gilx_world_words *)(void *)(interpreter + WORLD_AT);
}

static void set_stop(uint8_t requested, uint8_t stopped, uintptr_t requester) {
    gilx_world_words *words = stops();
    atomic_store((_Atomic(uint8_t) *)&words->requested, requested);
    atomic_store((_Atomic(uint8_t) *)&words->stopped, stopped);
    atomic_store((_Atomic(uintptr_t) *)&words->requester, requester);
}

static void make_interpreter(fault wrong) {
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
    put_address(interpreter, GIL_AT - 8, (uintptr_t)(interpreter + GIL_AT));
    const int enabled = wrong == HAS_GIL;
    put(interpreter, GIL_AT, &enabled, sizeof(enabled));
    put_address(interpreter, THREADS_AT, (uintptr_t)states[0]);
    for (int i = 0; i + 1 < STATES; ++i) {
        put_address(states[i], 8, (uintptr_t)states[i + 1]);
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

static void set_tid(int number, int64_t tid) {
    const unsigned long word = (unsigned long)tid;
    put(states[number], 160, &word, sizeof(word));
}

/* ---- what is asked of it ---------------------------------------------------------- */

typedef struct {
    gilx_interpreter base;
    gilx_free_interpreter free;
    fault wrong;
    int stops;
} fake;

static fake *now; /* the interpreter that is asked */

static void release(gilx_interpreter *base) {
    (void)base;
    if (now->wrong != STATE_STAYS) {
        atomic_store(state_of(0), GILX_STATE_DETACHED);
    }
}

static void take(gilx_interpreter *base) {
    (void)base;
    atomic_store(state_of(0), GILX_STATE_ATTACHED);
}

static bool stop(gilx_free_interpreter *free, void (*inside)(void *), void *context) {
    (void)free;
    if (now->wrong == NO_STOP) {
        return false;
    }
    ++now->stops;
    set_stop(1, 1, (uintptr_t)states[0]);
    if (now->wrong == STOPS_TWICE) {
        memcpy(interpreter + 4096 - 8, stops(), sizeof(gilx_world_words));
    }
    inside(context);
    if (now->wrong != STOP_STAYS) {
        set_stop(0, 0, 0);
    }
    return true;
}

static uintptr_t lock(gilx_free_interpreter *free, void (*inside)(void *),
                      void *context) {
    static uintptr_t object[8], section[2];
    (void)free;
    const uintptr_t address = (uintptr_t)object;
    section[1] = address + (uintptr_t)layout->free.object_mutex;
    section[1] += now->wrong == OTHER_SECTION;
    if (now->wrong != NO_SECTION) {
        atomic_store(section_of(0), (uintptr_t)section);
    }
    inside(context);
    atomic_store(section_of(0), 0);
    return address;
}

static uintptr_t type_of_types[16];

static bool find(gilx_free_threads *threads, gilx_memory *memory, fault wrong,
                 uint64_t version, char trouble[300]) {
    make_interpreter(wrong);
    set_tid(0, wrong == OTHER_THREAD ? 1 : gilx_own_tid());
    atomic_store(state_of(0), GILX_STATE_ATTACHED);
    fake one = {
        .base = {.version = version,
                 .runtime = runtime,
                 .interpreter = interpreter,
                 .state = states[0],
                 .tid = (unsigned long)gilx_own_tid(),
                 .release = release,
                 .take = take},
        .free = {.stop = stop, .lock = lock, .type_of_types = (uintptr_t)type_of_types},
        .wrong = wrong,
    };
    one.free.base = &one.base;
    now = &one;
    trouble[0] = '\0';
    const bool found = gilx_free_threads_find(threads, memory, &one.free, trouble);
    now = NULL;
    return found;
}

static gilx_memory open_memory(void) {
    gilx_memory memory;
    expect(gilx_memory_open(&memory, NULL));
    return memory;
}

static void interpreters_are_certified(void) {
    gilx_memory memory = open_memory();
    gilx_free_threads threads;
    char trouble[300];
    expect(find(&threads, &memory, NOTHING, VERSION, trouble));
    expect(threads.world == (uintptr_t)stops() && threads.world_missing[0] == '\0');
    expect(threads.sections && threads.states.tid == 160);
    static const fault refused[] = {STATE_STAYS, HAS_GIL, OTHER_THREAD};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); ++i) {
        expect(!find(&threads, &memory, refused[i], VERSION, trouble));
        expect(trouble[0] != '\0');
    }
    static const uint64_t unknown[] = {0x030d00f0, 0x030f02f0, 0x030e00b1, 0x031000f0};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); ++i) {
        expect(!find(&threads, &memory, NOTHING, unknown[i], trouble));
        expect(strstr(trouble, "is not known") != NULL);
    }
    static const fault without_world[] = {NO_STOP, STOPS_TWICE, STOP_STAYS};
    for (size_t i = 0; i < sizeof(without_world) / sizeof(*without_world); ++i) {
        expect(find(&threads, &memory, without_world[i], VERSION, trouble));
        expect(threads.world == 0 && threads.world_missing[0] != '\0');
        expect(threads.sections);
    }
    static const fault without_sections[] = {NO_SECTION, OTHER_SECTION};
    for (size_t i = 0; i < sizeof(without_sections) / sizeof(*without_sections); ++i) {
        expect(find(&threads, &memory, without_sections[i], VERSION, trouble));
        expect(!threads.sections && threads.world == (uintptr_t)stops());
    }
    gilx_memory_close(&memory);
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

static void wait_for(waiting *one, uintptr_t address, bool mutex) {
    const uintptr_t node = (uintptr_t)&one->entry.next;
    const uintptr_t root = (uintptr_t)&one->root_next;
    one->entry.argument = mutex;
    one->entry.address = address;
    atomic_store(&one->entry.futex, 0);
    one->entry.next = one->entry.previous = root;
    one->root_next = one->root_previous = node;
}

static void waits_are_understood(void) {
    gilx_memory memory = open_memory();
    gilx_free_threads threads;
    char trouble[300];
    expect(find(&threads, &memory, NOTHING, VERSION, trouble));
    waiting one;
    const uintptr_t futex = (uintptr_t)&one.entry.futex, state = (uintptr_t)states[3];
    wait_for(&one, 0x1230, true);
    gilx_wait wait = gilx_free_wait(&threads, &memory, futex, state);
    expect(wait.kind == GILX_WAIT_MUTEX && wait.address == 0x1230);
    wait_for(&one, 0x1230, false);
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_EVENT);
    wait_for(&one, (uintptr_t)state_of(3), false);
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_WORLD);
    expect(gilx_free_wait(&threads, &memory, futex, 0).kind == GILX_WAIT_EVENT);
    wait_for(&one, (uintptr_t)&stops()->event, false);
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_WORLD);
    wait_for(&one, (uintptr_t)stops(), true);
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_WORLD);
    one.root_previous = 0; /* it is not in the list any more */
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_UNKNOWN);
    expect(gilx_free_wait(&threads, &memory, 8, state).kind == GILX_WAIT_UNKNOWN);
    expect(gilx_free_wait(&threads, &memory, 0x7000, state).kind == GILX_WAIT_UNKNOWN);
    one.entry.next = 0x7000;
    expect(gilx_free_wait(&threads, &memory, futex, state).kind == GILX_WAIT_UNKNOWN);
    expect(gilx_futex_in("202 0x7f00 0x189 0x0\n") == 0x7f00);
    expect(gilx_futex_in("running") == 0);
    gilx_memory_close(&memory);
}

static _Alignas(16) uintptr_t object[8], type[16], metatype[16];

static void make_type(const char *name) {
    type_of_types[3] = (uintptr_t)type_of_types;
    metatype[3] = (uintptr_t)type_of_types;
    type[3] = (uintptr_t)metatype;
    type[5] = (uintptr_t)name;
    object[3] = (uintptr_t)type;
}

static void locks_are_named(void) {
    gilx_memory memory = open_memory();
    gilx_free_threads threads;
    char trouble[300], name[GILX_TYPE_NAME_SIZE];
    expect(find(&threads, &memory, NOTHING, VERSION, trouble));
    const uintptr_t in_object = (uintptr_t)object + 10, member = (uintptr_t)object + 32;
    make_type("queue");
    expect(gilx_free_type_of(&threads, &memory, in_object, name));
    expect(strcmp(name, "queue") == 0);
    expect(gilx_free_type_of(&threads, &memory, member, name));
    expect(strcmp(name, "queue") == 0);
    expect(!gilx_free_type_of(&threads, &memory, in_object + 1, name));
    expect(!gilx_free_type_of(&threads, &memory, member + 8, name));
    expect(!gilx_free_type_of(&threads, &memory, 10, name));
    make_type("a\nb");
    expect(!gilx_free_type_of(&threads, &memory, in_object, name));
    make_type("");
    expect(!gilx_free_type_of(&threads, &memory, in_object, name));
    make_type("x");
    metatype[3] = (uintptr_t)metatype; /* it is not the type of types */
    expect(!gilx_free_type_of(&threads, &memory, in_object, name));
    static const char LONG[] =
        "a_very_long_name_that_is_longer_than_what_is_kept_of_any_name_of_a_type";
    make_type(LONG);
    expect(gilx_free_type_of(&threads, &memory, in_object, name));
    expect(strlen(name) == GILX_TYPE_NAME_SIZE - 1 && strncmp(name, LONG, 60) == 0);

    static gilx_lock_table table;
    gilx_lock_table_begin(&table);
    make_type("list");
    const gilx_wait mutex = {GILX_WAIT_MUTEX, in_object};
    const int first = gilx_lock_number(&table, &threads, &memory, mutex);
    make_type("dict"); /* another object at the same address */
    expect(gilx_lock_number(&table, &threads, &memory, mutex) == first);
    expect(table.all[first].kind == GILX_LOCK_OBJECT);
    expect(strcmp(table.all[first].type, "list") == 0);
    const gilx_wait unknown = {GILX_WAIT_UNKNOWN, 0};
    expect(gilx_lock_number(&table, &threads, &memory, unknown) == gilx_lock_unknown());
    for (uintptr_t i = 1; i < 2 * GILX_LOCKS; ++i) {
        const gilx_wait other = {i % 2 == 0 ? GILX_WAIT_MUTEX : GILX_WAIT_EVENT, i};
        const int number = gilx_lock_number(&table, &threads, &memory, other);
        expect(
            number == gilx_lock_unknown() ||
            (table.all[number].address == i &&
             table.all[number].kind == (i % 2 == 0 ? GILX_LOCK_MUTEX : GILX_LOCK_EVENT)));
    }
    expect(table.count == GILX_LOCKS);
    gilx_lock_add(&table, first, 3);
    gilx_lock_add(&table, first, 4);
    expect(table.all[first].time == 7 && table.all[first].squares == 25 &&
           table.all[first].samples == 2);
    gilx_memory_close(&memory);
}

/* ---- frames ----------------------------------------------------------------------- */

/* The instruction of a frame that runs a copy is found in the code object. */
static void copies_are_left(void) {
    static _Alignas(16) unsigned char code[512], frame[128], copies[64], copy[64];
    const gilx_stack_layout *stacks = gilx_free_stack_layout_of(layout);
    gilx_memory memory = open_memory();
    gilx_frame found;
    make_interpreter(NOTHING);
    expect(stacks != NULL);
    put_address(states[0], stacks->state_frame, (uintptr_t)frame);
    put_address(frame, stacks->code, (uintptr_t)code | 1);
    const uintptr_t own = (uintptr_t)code + (uintptr_t)stacks->instructions;
    for (int32_t number = 0; number < 3; ++number) {
        put(frame, stacks->copy_number, &number, sizeof(number));
        const uintptr_t start = number == 0 ? own : (uintptr_t)copy + 16;
        put_address(frame, stacks->instr, start + 6);
        put_address(copies, stacks->first_copy + 8 * number, start);
        put_address(code, stacks->copies, (uintptr_t)copies);
        expect(gilx_waiting_frame(stacks, &memory, (uintptr_t)states[0], &found));
        expect(found.code == (uintptr_t)code && found.instruction == own + 6);
    }
    put_address(code, stacks->copies, 0x7000);
    expect(gilx_waiting_frame(stacks, &memory, (uintptr_t)states[0], &found));
    expect(found.instruction == 0);
    const int32_t negative = -1;
    put(frame, stacks->copy_number, &negative, sizeof(negative));
    expect(gilx_waiting_frame(stacks, &memory, (uintptr_t)states[0], &found));
    expect(found.instruction == 0);
    gilx_memory_close(&memory);
}

/* ---- stops ------------------------------------------------------------------------ */

static void stops_are_counted(void) {
    gilx_stop_bounds bounds = {.least_ns = 0};
    gilx_world_burst burst;
    const int64_t begin = gilx_now_ns();
    const uintptr_t words = (uintptr_t)stops();
    make_interpreter(NOTHING);
    (void)gilx_world_read(NULL, words, 10000, begin, &bounds, &burst);
    expect(burst.reads > 0 && burst.requested == 0 && burst.requester == 0);
    set_stop(1, 0, 7);
    (void)gilx_world_read(NULL, words, 10000, begin, &bounds, &burst);
    expect(burst.requested == burst.reads && burst.stopping == burst.reads);
    expect(burst.requester == 7 && burst.stopping_now);
    gilx_sleep_ns(1000 * 1000);
    set_stop(1, 1, 7);
    (void)gilx_world_read(NULL, words, 10000, begin, &bounds, &burst);
    expect(burst.requested == burst.reads && burst.stopping == 0);
    expect(!burst.stopping_now);
    set_stop(0, 0, 0);
    const int64_t end = gilx_world_read(NULL, words, 10000, begin, &bounds, &burst);
    gilx_stop_bounds_end(&bounds, begin, end);
    expect(bounds.stretch_ns >= 1000 * 1000 && bounds.most_ns >= bounds.stretch_ns);
    expect(bounds.least_ns <= bounds.stretch_ns && bounds.most_ns <= end - begin);
    /* Reads before the start narrow nothing. */
    gilx_stop_bounds none = {.least_ns = 0};
    set_stop(1, 1, 7);
    (void)gilx_world_read(NULL, words, 10000, INT64_MAX, &none, &burst);
    expect(none.least_ns == 0 && none.most_ns == 0 && none.stretch_ns == 0);
    set_stop(0, 0, 0);
}

/* ---- all together ----------------------------------------------------------------- */

typedef enum { ATTACHED, DETACHED, SPINNING, PARKED, STOPPED, READING, ACTORS } role;

/* Whether one thread runs at a time: then those that compute also wait for one another,
 * in system calls of valgrind. */
#ifdef GILX_SERIALIZED
static const bool SERIALIZED = true;
#else
static const bool SERIALIZED = false;
#endif

#ifdef GILX_EMULATED
static const bool EMULATED = true;
#else
static const bool EMULATED = false;
#endif

static const gilx_activity EXPECTED[ACTORS] = {
    GILX_ON_CPU, GILX_DETACHED, GILX_SPINS, GILX_AWAITS_LOCK, GILX_STOPPED, GILX_READS,
};

static atomic_bool over;
static _Atomic(int64_t) tids[ACTORS];
static waiting entries[ACTORS];
static int ends[2]; /* of a pipe */

static void park(int number, uintptr_t address, bool mutex) {
    waiting *one = &entries[number];
    wait_for(one, address, mutex);
    atomic_store(&tids[number], gilx_own_tid());
    while (!atomic_load(&over)) {
        (void)syscall(SYS_futex, &one->entry.futex, 128, 0, NULL, NULL, 0);
    }
}

static void wake(int number) {
    atomic_store(&entries[number].entry.futex, 1);
    (void)syscall(SYS_futex, &entries[number].entry.futex, 129, 1, NULL, NULL, 0);
}

static void *act(void *argument) {
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
static void await_call(int number, long call, uintptr_t argument) {
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
static void start_actors(pthread_t threads[ACTORS]) {
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

static void end_actors(pthread_t threads[ACTORS]) {
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

static int64_t samples_of(gilx_sampler *sampler) {
    pthread_mutex_lock(&sampler->sums);
    const int64_t count = sampler->totals.wakes;
    pthread_mutex_unlock(&sampler->sums);
    return count;
}

/* Let the threads run for a while, and for longer where samples are rare: valgrind runs
 * one thread at a time. */
static void await_samples(gilx_sampler *sampler) {
    enum { SAMPLES = 20 };
    const int64_t before = samples_of(sampler);
    gilx_sleep_ns(150 * 1000 * 1000);
    while (samples_of(sampler) < before + SAMPLES) {
        gilx_sleep_ns(1000 * 1000);
    }
}

/* Return a sampler of these threads that was started, a monitor if there are options for
 * that. */
static gilx_sampler *start_sampler(const gilx_free_threads *free, gilx_memory *memory,
                                   const gilx_monitor_options *monitor) {
    static const gilx_gil_struct no_gil = {.locked = 0};
    const gilx_gil_words words = {.locked = &no_gil.locked,
                                  .holder = &no_gil.holder,
                                  .switches = &no_gil.switches,
                                  .interval = &no_gil.interval};
    const gilx_sampler_options options = {
        .watched = gilx_own_tid(),
        .cost = 0.5,
        .seed = 1,
        .room = monitor == NULL ? 64 : 0,
        .states = free->states,
        .free_threads = free,
        .monitor = monitor,
    };
    gilx_sampler *sampler = gilx_sampler_new(&words, &options, memory);
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0);
    gilx_sampler_begin(sampler);
    return sampler;
}

/* Threads that do one thing all the time are found to do that. */
static void threads_are_watched(void) {
    gilx_memory memory = open_memory();
    gilx_free_threads free;
    char trouble[300];
    pthread_t threads[ACTORS];
    expect(find(&free, &memory, NOTHING, VERSION, trouble));
    start_actors(threads);
    set_stop(1, 0, (uintptr_t)states[READING]);
    gilx_sampler *sampler = start_sampler(&free, &memory, NULL);
    await_samples(sampler);
    atomic_store(state_of(STATES - 1), GILX_STATE_SUSPENDED);
    await_samples(sampler);
    atomic_store(state_of(STATES - 1), GILX_STATE_ATTACHED);
    await_samples(sampler);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    end_actors(threads);

    const gilx_totals *totals = gilx_sampler_totals(sampler);
    expect(totals->counted > 0 && totals->locked.y == 0);
    expect(totals->own.x > 0 && totals->own.x < totals->own.y);
    expect(totals->own.y < totals->counted); /* while it was suspended */
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    expect(tracking != NULL && tracking->stopped.y == totals->counted);
    expect(tracking->stopped.x == tracking->stopped.y);
    expect(tracking->stopping.x == tracking->stopping.y);
    const gilx_watched_thread *found;
    const int count = gilx_sampler_threads(sampler, &found);
    int actors = 0;
    for (int i = 0; i < count; ++i) {
        const gilx_thread_activities *does = &found[i].does;
        for (int j = 0; j < ACTORS; ++j) {
            if (found[i].tid != atomic_load(&tids[j])) {
                continue;
            }
            ++actors;
            expect((does->asked_stops > 0) == (j == READING));
            expect((does->late > 0) == (j == ATTACHED || j == SPINNING));
            if (totals->calls) {
                expect(does->sums[EXPECTED[j]].time > 0);
                for (int k = 0; k < GILX_ACTIVITIES; ++k) {
                    expect(k == (int)EXPECTED[j] || does->sums[k].time == 0 ||
                           (j <= SPINNING && SERIALIZED));
                }
                expect((does->ready > 0) == (j <= SPINNING));
                expect(does->clock_last_ns > does->clock_first_ns);
            }
        }
    }
    expect(actors == ACTORS);
    double parked = 0, spun = 0;
    for (int i = 0; i < tracking->locks.count; ++i) {
        const gilx_lock_wait *one = &tracking->locks.all[i];
        parked += one->kind == GILX_LOCK_OBJECT && strcmp(one->type, "list") == 0 &&
                          one->address == (uintptr_t)object + 10
                      ? one->time
                      : 0;
        spun += one->kind == GILX_LOCK_SPINS ? one->time : 0;
    }
    expect(!totals->calls || (parked > 0 && spun > 0));
    gilx_sampler_free(sampler);
}

/* ---- monitors --------------------------------------------------------------------- */

static int64_t stalls_of(gilx_sampler *sampler) {
    gilx_reading reading;
    expect(gilx_sampler_read(sampler, &reading) == 0);
    free(reading.threads);
    return reading.stalls[GILX_WORLD_STALL];
}

static const gilx_stall_record *await_record(gilx_sampler *sampler, bool ended) {
    static gilx_stall_record records[GILX_STALLS_KEPT];
    for (;;) {
        const int count = gilx_sampler_stalls(sampler, records);
        expect(count <= 1);
        if (count == 1 && (records[0].high_ns >= 0) == ended) {
            return &records[0];
        }
        gilx_sleep_ns(1000 * 1000);
    }
}

/* A stop that waits for a thread, and then goes on, is one stall until the world goes on:
 * a thread waits for it all the while. */
static void stalls_are_reported(void) {
    gilx_memory memory = open_memory();
    gilx_free_threads free_threads;
    char trouble[300], text[1 << 12] = "";
    pthread_t threads[ACTORS];
    int log[2];
    expect(find(&free_threads, &memory, NOTHING, VERSION, trouble));
    expect(pipe(log) == 0);
    start_actors(threads);
    const gilx_monitor_options options = {.stall_ns = 50 * 1000 * 1000, .log = log[1]};
    gilx_sampler *sampler = start_sampler(&free_threads, &memory, &options);
    expect(gilx_sampler_sees_waiters(sampler));
    await_samples(sampler);
    expect(stalls_of(sampler) == 0);
    set_stop(1, 0, (uintptr_t)states[READING]);
    const gilx_stall_record *record = await_record(sampler, false);
    const bool calls = sampler->totals.calls;
    expect(record->kind == GILX_WORLD_STALL && record->number == 1);
    expect(record->place.tid == atomic_load(&tids[ATTACHED]) ||
           record->place.tid == atomic_load(&tids[SPINNING]));
    expect(record->waiters == (calls ? 2 : 1)); /* the one that asked is one of them */
    expect(strstr(record->text, " has not begun, since a thread is late, after ") !=
           NULL);
    expect(strstr(record->text, " is late to stop") != NULL);
    expect(strstr(record->text, ") asked for the stop (") != NULL ||
           strstr(record->text, " asked for the stop (") != NULL);
    expect(!calls || strstr(record->text, " waits until the world goes on (") != NULL);
    if (calls) { /* else no thread shows that it is the same stop */
        atomic_store(state_of(ATTACHED), GILX_STATE_SUSPENDED);
        atomic_store(state_of(SPINNING), GILX_STATE_SUSPENDED);
        set_stop(1, 1, (uintptr_t)states[READING]);
        await_samples(sampler);
        expect(await_record(sampler, false)->number == 1);
    }
    gilx_reading reading;
    expect(gilx_sampler_read(sampler, &reading) == 0);
    expect(reading.free_threads && reading.world && reading.stops >= 1);
    expect(reading.stopped.x > 0 && reading.stopping.x > 0);
    expect(reading.longest_stop.low_ns >= options.stall_ns);
    expect(reading.longest_stop.high_ns >= reading.longest_stop.low_ns);
    for (int i = 0; i < reading.count && calls; ++i) {
        const gilx_clocked_times *clocked = &reading.threads[i].does.clocked;
        expect(reading.threads[i].tid != atomic_load(&tids[STOPPED]) ||
               clocked->time[GILX_CLOCKED_STOPPED] > 0);
        expect(reading.threads[i].tid != atomic_load(&tids[PARKED]) ||
               clocked->time[GILX_CLOCKED_PARKED] > 0);
        expect(reading.threads[i].tid != atomic_load(&tids[READING]) ||
               clocked->time[GILX_CLOCKED_CALLING] > 0);
    }
    free(reading.threads);
    set_stop(0, 0, 0);
    record = await_record(sampler, true);
    expect(record->low_ns >= options.stall_ns && record->high_ns >= record->low_ns);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    end_actors(threads);
    expect(stalls_of(sampler) == 1);
    gilx_sampler_free(sampler);
    expect(read(log[0], text, sizeof(text) - 1) > 0);
    expect(strstr(text, "gilx: process ") == text);
    expect(strstr(text, ": the stop of the world was over after ") != NULL);
    close(log[0]);
    close(log[1]);
}

/* Have the thread that waits for the world run, as if that had gone on for a moment. */
static void let_run(void) {
    const int64_t tid = atomic_load(&tids[STOPPED]), before = gilx_cpu_ns_of(0, tid);
    while (gilx_cpu_ns_of(0, tid) == before) {
        (void)syscall(SYS_futex, &entries[STOPPED].entry.futex, 129, 1, NULL, NULL, 0);
        gilx_sleep_ns(100 * 1000);
    }
}

/* Stops that follow one another are not one that goes on, nor is one for which no thread
 * waits a stall. */
static void short_stops_are_no_stall(void) {
    enum { STALL_MS = 500, ROUNDS = 1000 };
    gilx_memory memory = open_memory();
    gilx_free_threads free_threads;
    char trouble[300];
    pthread_t threads[ACTORS];
    expect(find(&free_threads, &memory, NOTHING, VERSION, trouble));
    start_actors(threads);
    atomic_store(state_of(ATTACHED), GILX_STATE_DETACHED);
    atomic_store(state_of(SPINNING), GILX_STATE_DETACHED);
    const gilx_monitor_options options = {.stall_ns = STALL_MS * 1000 * 1000, .log = 2};
    gilx_sampler *sampler = start_sampler(&free_threads, &memory, &options);
    set_stop(1, 1, (uintptr_t)states[READING]);
    for (int i = 0; i < ROUNDS; ++i) {
        let_run();
        gilx_sleep_ns(1000 * 1000);
    }
    expect(stalls_of(sampler) == 0);
    atomic_store(state_of(STOPPED), GILX_STATE_DETACHED); /* as if it slept elsewhere */
    gilx_sleep_ns(2 * STALL_MS * (int64_t)1000 * 1000);
    expect(stalls_of(sampler) == 0);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    end_actors(threads);
    gilx_sampler_free(sampler);
}

/* Each piece of time goes to what the next sample finds that tells it. */
static void clocked_times_add_up(void) {
    gilx_thread_activities sum = gilx_no_activities(0), one = gilx_no_activities(0);
    gilx_clocked_times *times = &one.clocked;
    gilx_clocked_add(times, GILX_AWAITS_LOCK, 3, 5);
    expect(times->time[GILX_CLOCKED_PARKED] == 5 && times->ran == 3);
    gilx_clocked_add(times, GILX_DOES_UNKNOWN, 1, 2);
    gilx_clocked_add(times, GILX_ON_CPU, 4, -1);
    expect(times->time[GILX_CLOCKED_ATTACHED] == 8 && times->ran == 0);
    expect(times->squares[GILX_CLOCKED_ATTACHED] == 64 && times->rested == 1);
    gilx_clocked_add(times, GILX_STOPPED, 0, 1);
    expect(times->time[GILX_CLOCKED_STOPPED] == 2 && times->rested == 0);
    gilx_clocked_add(times, GILX_STOPPED, 0, -3);
    expect(times->time[GILX_CLOCKED_STOPPED] == 2 && times->rested == -3);
    gilx_clocked_add(times, GILX_STOPPED, 0, 4);
    expect(times->time[GILX_CLOCKED_STOPPED] == 3 && times->rested == 0);
    gilx_clocked_add(times, GILX_SPINS, 1, 1);
    gilx_clocked_add(times, GILX_DETACHED, 2, 0);
    gilx_clocked_add(times, GILX_READS, 0, 0);
    expect(times->time[GILX_CLOCKED_SPINNING] == 1);
    expect(times->time[GILX_CLOCKED_DETACHED] == 2);
    expect(times->time[GILX_CLOCKED_CALLING] == 1);
    one.wait_first_ns = 10;
    one.wait_last_ns = 17;
    one.late = 6;
    gilx_activities_join(&sum, &one);
    gilx_activities_join(&sum, &one);
    expect(sum.clocked.time[GILX_CLOCKED_ATTACHED] == 16 && sum.late == 12);
    expect(sum.wait_last_ns - sum.wait_first_ns == 14);
}

int main(void) {
    layout = gilx_layout_of(VERSION);
    expect(layout != NULL && gilx_free_layout_of(layout) != NULL);
    interpreters_are_certified();
    waits_are_understood();
    locks_are_named();
    copies_are_left();
    stops_are_counted();
    threads_are_watched();
    clocked_times_add_up();
    stalls_are_reported();
    short_stops_are_no_stall();
    return 0;
}
