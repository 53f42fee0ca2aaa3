/* Watches another process, a child that exports the runtime of a made-up interpreter that
 * runs without a GIL.
 *
 * The exit status is 0 if its threads and stops are found, and read as they are. Prints
 * why if nothing could be tested: the system may forbid reading, and a static program
 * exports nothing.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sampler/process_gil.h"

#define DRIVER "free_process_driver"
#include "fake_free_threads.h"

/* What a process is searched for, by the names that CPython has for it. */
extern _Alignas(16) unsigned char _PyRuntime[RUNTIME_SIZE];
extern unsigned long Py_Version;
extern _Alignas(16) uintptr_t PyType_Type[16];

_Alignas(16) unsigned char _PyRuntime[RUNTIME_SIZE];
unsigned long Py_Version = VERSION;
_Alignas(16) uintptr_t PyType_Type[16];

static void skip(const char *why) {
    (void)printf(DRIVER ": nothing tested, since %s\n", why);
    exit(0);
}

/* ---- the child -------------------------------------------------------------------- */

/* What the child does next. */
typedef enum {
    BE_RIGHT,
    STOP_THREADS,      /* one asks for a stop, and others are late */
    BREAK_STOPS,       /* no count of threads is negative */
    BREAK_REQUESTER,   /* what asks for a stop is not a thread of the interpreter */
    BREAK_STATE,       /* no thread is in such a state */
    BREAK_INTERPRETER, /* a thread state is another interpreter's */
    IMPORT,            /* the GIL is on for a moment */
    TURN_GIL_ON
} command;

static void obey(command what) {
    enum { NO_STATE = 9 };
    const int enabled = what == TURN_GIL_ON ? INT_MAX : what == IMPORT;
    put(interpreter, GIL_AT, &enabled, sizeof(enabled));
    set_stop(0, 0, 0);
    stops()->countdown = what == BREAK_STOPS ? -1 : 0;
    atomic_store(state_of(PARKED), what == BREAK_STATE ? NO_STATE : GILX_STATE_DETACHED);
    put_address(states[PARKED], 16,
                (uintptr_t)(what == BREAK_INTERPRETER ? states[0] : interpreter));
    if (what == STOP_THREADS) {
        set_stop(1, 0, (uintptr_t)states[READING]);
    } else if (what == BREAK_REQUESTER) {
        set_stop(1, 0, (uintptr_t)interpreter);
    }
}

/* Run threads, and obey until killed. */
static void run_child(int done, int commands) {
    pthread_t threads[ACTORS];
    char byte = BE_RIGHT;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not to stay if a test fails */
    make_interpreter(false);
    memcpy(_PyRuntime, runtime, sizeof(runtime));
    start_actors(threads);
    PyType_Type[3] = metatype[3] = (uintptr_t)PyType_Type;
    do {
        obey((command)byte);
    } while (write(done, &byte, 1) == 1 && read(commands, &byte, 1) == 1);
    _exit(1);
}

typedef struct {
    pid_t pid;
    int done, commands;
} child;

static void await_child(const child *one) {
    char byte;
    expect(read(one->done, &byte, 1) == 1);
}

static void tell(const child *one, command what) {
    const char byte = (char)what;
    expect(write(one->commands, &byte, 1) == 1);
    await_child(one);
}

static child start_child(void) {
    int done[2], commands[2];
    expect(pipe(done) == 0 && pipe(commands) == 0);
    const pid_t pid = fork();
    expect(pid >= 0);
    if (pid == 0) {
        run_child(done[1], commands[0]);
    }
    close(done[1]);
    close(commands[0]);
    const child one = {.pid = pid, .done = done[0], .commands = commands[1]};
    await_child(&one);
    return one;
}

static void end_child(const child *one) {
    (void)kill(one->pid, SIGKILL);
    (void)waitpid(one->pid, NULL, 0);
    close(one->done);
    close(one->commands);
}

/* Open the child's memory; end all if it can't be read. */
static gilx_memory open_child(const child *one) {
    gilx_memory memory;
    unsigned long version = 0;
    if (!gilx_memory_open_process(&memory, one->pid)) {
        end_child(one);
        skip(strerror(errno));
    }
    if (!gilx_memory_read(&memory, &Py_Version, &version, sizeof(version)) ||
        version != VERSION) {
        gilx_memory_close(&memory);
        end_child(one);
        skip("memory lies elsewhere than programs have it");
    }
    return memory;
}

/* ---- what is found ---------------------------------------------------------------- */

static gilx_process_gil find(gilx_memory *memory) {
    gilx_process_gil found;
    expect(gilx_process_gil_find(&found, memory) == GILX_GIL_NONE);
    return found;
}

static void threads_are_found(const child *one) {
    gilx_memory memory = open_child(one);
    gilx_process_gil found;
    tell(one, BE_RIGHT);
    const gilx_gil_status status = gilx_process_gil_find(&found, &memory);
    if (status == GILX_GIL_UNAVAILABLE && getauxval(AT_BASE) == 0) {
        gilx_memory_close(&memory);
        end_child(one);
        skip("a static program exports nothing");
    }
    expect(status == GILX_GIL_NONE);
    expect(found.version == VERSION);
    expect(found.interpreter == (const void *)interpreter);
    expect(found.free.places.state == layout->free.state);
    expect(found.free.states.tid == 160 && found.free.sections);
    expect(found.free.type_of_types == (uintptr_t)PyType_Type);
    expect(found.free.world == (uintptr_t)stops() && found.free.world_missing[0] == '\0');
    expect(found.stacks == NULL); /* the process exports no PyCode_Type */
    tell(one, STOP_THREADS);
    expect(find(&memory).free.world == (uintptr_t)stops());
    gilx_memory_close(&memory);
}

/* Words on stops that can't be these are left out; without states nothing is read. */
static void strange_words_are_refused(const child *one) {
    gilx_memory memory = open_child(one);
    static const command without_world[] = {BREAK_STOPS, BREAK_REQUESTER};
    for (size_t i = 0; i < sizeof(without_world) / sizeof(*without_world); ++i) {
        tell(one, without_world[i]);
        const gilx_process_gil found = find(&memory);
        expect(found.free.places.state != 0 && found.free.world == 0);
        expect(strstr(found.free.world_missing, "can't be that") != NULL);
    }
    static const command refused[] = {BREAK_STATE, BREAK_INTERPRETER};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); ++i) {
        tell(one, refused[i]);
        const gilx_process_gil found = find(&memory);
        expect(found.free.places.state == 0);
        expect(strstr(found.gil.trouble, "states of its threads can't be that") != NULL);
    }
    tell(one, BE_RIGHT);
    expect(find(&memory).free.world == (uintptr_t)stops());
    gilx_process_gil found = find(&memory);
    gilx_process_world_find(&found, &memory, 0);
    expect(found.free.world == 0 &&
           strstr(found.free.world_missing, "is not known") != NULL);
    gilx_memory_close(&memory);
}

/* ---- the sampler ------------------------------------------------------------------ */

static gilx_sampler *start_sampler(const child *one, gilx_memory *memory) {
    const gilx_process_gil found = find(memory);
    const gilx_sampler_options options = {
        .watched = one->pid,
        .cost = 0.5,
        .seed = 1,
        .capacity = 64,
        .states = found.gil.states,
        .free_threads = &found.free,
        .lock_known = found.lock_known,
    };
    gilx_sampler *sampler = gilx_sampler_new(&found.gil.words, &options, memory);
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0);
    gilx_sampler_begin(sampler);
    return sampler;
}

/* Threads that do one thing all the time are found to do that, and a stop as well. */
static void threads_are_watched(const child *one) {
    gilx_memory memory = open_child(one);
    int64_t of[ACTORS];
    expect(gilx_memory_read(&memory, tids, of, sizeof(of)));
    tell(one, STOP_THREADS);
    gilx_sampler *sampler = start_sampler(one, &memory);
    await_samples(sampler);
    await_roles(sampler, of);
    expect(!gilx_sampler_lost(sampler));
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    expect(totals->counted > 0 && totals->locked.y == 0);
    expect(totals->own.x == 0 && totals->own.y == totals->counted); /* detached */
    expect(tracking->stopped.y == totals->counted);
    expect(tracking->stopped.x == tracking->stopped.y);
    expect(tracking->stopping.x == tracking->stopping.y);
    expect_roles(sampler, of);
    expect_locks(sampler);
    gilx_sampler_free(sampler);
}

/* Stops are counted as they begin and end. */
static void stops_are_counted(const child *one) {
    gilx_memory memory = open_child(one);
    tell(one, BE_RIGHT);
    gilx_sampler *sampler = start_sampler(one, &memory);
    await_samples(sampler);
    tell(one, STOP_THREADS);
    await_samples(sampler);
    tell(one, BE_RIGHT);
    await_samples(sampler);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_free_tracking *tracking = gilx_sampler_free_threads(sampler);
    expect(tracking->stops == 1);
    expect(tracking->stopped.x > 0 && tracking->stopped.x < tracking->stopped.y);
    expect(tracking->bounds.stretch_ns > 0);
    expect(tracking->bounds.most_ns >= tracking->bounds.stretch_ns);
    gilx_sampler_free(sampler);
}

/* A GIL that is turned on is found, and one that is off again, or on for an import, is
 * not. */
static void gil_is_noticed(const child *one) {
    static const command last[] = {BE_RIGHT, IMPORT, TURN_GIL_ON};
    for (int i = 0; i < 3; ++i) {
        gilx_memory memory = open_child(one);
        tell(one, BE_RIGHT);
        gilx_sampler *sampler = start_sampler(one, &memory);
        await_samples(sampler);
        tell(one, TURN_GIL_ON);
        await_samples(sampler);
        tell(one, last[i]);
        await_samples(sampler);
        gilx_sampler_end(sampler);
        gilx_sampler_stop(sampler);
        expect(gilx_sampler_free_threads(sampler)->gil_enabled == (i == 2));
        gilx_sampler_free(sampler);
    }
    tell(one, BE_RIGHT);
}

/* A process that is killed was watched until then. */
static void loss_is_noticed(const child *one) {
    gilx_memory memory = open_child(one);
    gilx_sampler *sampler = start_sampler(one, &memory);
    await_samples(sampler);
    (void)kill(one->pid, SIGKILL);
    while (!gilx_sampler_lost(sampler)) {
        gilx_sleep_ns(1000 * 1000);
    }
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    expect(gilx_sampler_totals(sampler)->end_ns < gilx_now_ns());
    gilx_sampler_free(sampler);
}

int main(void) {
#if defined(GILX_EMULATED)
    skip("a process of an emulator is the emulator");
#endif
    layout = gilx_layout_of(VERSION);
    expect(layout != NULL && gilx_free_layout_of(layout) != NULL);
    const child one = start_child();
    threads_are_found(&one);
    strange_words_are_refused(&one);
    threads_are_watched(&one);
    stops_are_counted(&one);
    gil_is_noticed(&one);
    loss_is_noticed(&one);
    end_child(&one);
    return 0;
}
