/* Watches threads of made-up interpreters that run without a GIL.
 *
 * The exit status is 0 if all is right.
 */
#define _GNU_SOURCE

#include <fcntl.h>
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

#define DRIVER "free_threads_driver"
#include "fake_free_threads.h"

/* ---- the interpreter -------------------------------------------------------------- */

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

static bool find(gilx_free_threads *threads, gilx_memory *memory, fault wrong,
                 uint64_t version, char trouble[300]) {
    make_interpreter(wrong == HAS_GIL);
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
    make_interpreter(false);
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
    make_interpreter(false);
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
        .capacity = monitor == NULL ? 64 : 0,
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
    int64_t of[ACTORS];
    for (int i = 0; i < ACTORS; ++i) {
        of[i] = atomic_load(&tids[i]);
    }
    gilx_sampler *sampler = start_sampler(&free, &memory, NULL);
    await_samples(sampler);
    await_roles(sampler, of);
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
    expect_roles(sampler, of);
    expect_locks(sampler);
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

/* Return whether time was counted of each thread that waits for something. */
static bool clocks_show(const gilx_reading *reading) {
    static const struct {
        role number;
        int clocked;
    } waits[] = {
        {STOPPED, GILX_CLOCKED_STOPPED},
        {PARKED, GILX_CLOCKED_PARKED},
        {READING, GILX_CLOCKED_CALLING},
    };
    enum { COUNT = sizeof(waits) / sizeof(waits[0]) };
    int found = 0;
    for (int i = 0; i < reading->count; ++i) {
        for (int j = 0; j < COUNT; ++j) {
            found += reading->threads[i].tid == atomic_load(&tids[waits[j].number]) &&
                     reading->threads[i].does.clocked.time[waits[j].clocked] > 0;
        }
    }
    return found == COUNT;
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
    while (calls && !clocks_show(&reading)) { /* later on a busy machine */
        free(reading.threads);
        gilx_sleep_ns(1000 * 1000);
        expect(gilx_sampler_read(sampler, &reading) == 0);
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

/* Wake a thread, which then does again what it did, until it has run. The one that waits
 * for the world seems to have got a signal, or the world to have gone on for a moment. */
static void let_run(role number) {
    const int64_t tid = atomic_load(&tids[number]), before = gilx_cpu_ns_of(0, tid);
    while (gilx_cpu_ns_of(0, tid) == before) {
        if (number == READING) {
            expect(write(ends[1], "", 1) == 1);
        } else {
            (void)syscall(SYS_futex, &entries[number].entry.futex, 129, 1, NULL, NULL, 0);
        }
        gilx_sleep_ns(100 * 1000);
    }
}

/* Start threads of which one has asked for a stop, and one waits for it. */
static void start_stopped(pthread_t threads[ACTORS]) {
    start_actors(threads);
    atomic_store(state_of(ATTACHED), GILX_STATE_DETACHED);
    atomic_store(state_of(SPINNING), GILX_STATE_DETACHED);
}

/* A stop goes on if the only thread that waits for it is woken, as by a signal, since the
 * one that asked for it has not run. */
static void wakes_do_not_end_stops(void) {
    enum { STALL_MS = 200, MOST_ROUNDS = 30000 };
    gilx_memory memory = open_memory();
    gilx_free_threads free_threads;
    char trouble[300];
    pthread_t threads[ACTORS];
    expect(find(&free_threads, &memory, NOTHING, VERSION, trouble));
    start_stopped(threads);
    const int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    expect(log >= 0);
    const gilx_monitor_options options = {.stall_ns = STALL_MS * 1000 * 1000, .log = log};
    gilx_sampler *sampler = start_sampler(&free_threads, &memory, &options);
    set_stop(1, 1, (uintptr_t)states[READING]);
    for (int i = 0; sampler->totals.calls && stalls_of(sampler) == 0; ++i) {
        expect(i < MOST_ROUNDS);
        let_run(STOPPED);
        gilx_sleep_ns(1000 * 1000);
    }
    for (int i = 0; i < 2 * STALL_MS; ++i) { /* it is still the same one */
        let_run(STOPPED);
        gilx_sleep_ns(1000 * 1000);
    }
    expect(stalls_of(sampler) == (sampler->totals.calls ? 1 : 0));
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    end_actors(threads);
    gilx_sampler_free(sampler);
    close(log);
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
    start_stopped(threads);
    const gilx_monitor_options options = {.stall_ns = STALL_MS * 1000 * 1000, .log = 2};
    gilx_sampler *sampler = start_sampler(&free_threads, &memory, &options);
    set_stop(1, 1, (uintptr_t)states[READING]);
    int64_t last = gilx_now_ns(), longest = 0;
    for (int i = 0; i < ROUNDS; ++i) {
        let_run(READING); /* else it would have had no time to ask again */
        let_run(STOPPED);
        gilx_sleep_ns(1000 * 1000);
        const int64_t time = gilx_now_ns();
        longest = time - last > longest ? time - last : longest;
        last = time;
    }
    /* On a busy machine none of them may run for as long as a stall is. */
    const int64_t stalls = stalls_of(sampler);
    longest = gilx_now_ns() - last > longest ? gilx_now_ns() - last : longest;
    expect(stalls == 0 || 2 * longest > options.stall_ns);
    atomic_store(state_of(STOPPED), GILX_STATE_DETACHED); /* as if it slept elsewhere */
    gilx_sleep_ns(2 * STALL_MS * (int64_t)1000 * 1000);
    expect(stalls_of(sampler) == stalls);
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
    wakes_do_not_end_stops();
    return 0;
}
