#define _POSIX_C_SOURCE 200809L

#include "monitor_state.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "world_report.h"

/* ---- whether it is the same stop -------------------------------------------------- */

/* Return how often a thread has slept, -1 if Linux does not say that. */
static int64_t sleeps_of(int64_t tid) {
    const int file = gilx_status_open(0, tid);
    const int64_t sleeps = gilx_sleeps(file);
    if (file >= 0) {
        close(file);
    }
    return sleeps;
}

/* Return a number that stands for the system call that a thread is in, and for the place
 * of the call in C; 0 if it is in none, or that is not known. */
static uint64_t call_of(int64_t tid) {
    enum { PLACES = 2 }; /* the last two words: addresses of its stack and of its code */
    char text[GILX_SYSCALL_SIZE] = "";
    const int file = gilx_syscall_open(0, tid);
    const bool there = file >= 0 && gilx_syscall_read(file, text);
    if (file >= 0) {
        close(file);
    }
    size_t end = strlen(text);
    for (int words = 0; end > 0 && words < PLACES; --end) {
        words += text[end - 1] == ' ';
    }
    if (!there || end == 0) { /* it runs */
        return 0;
    }
    const uint64_t number = strtoull(text, NULL, 10);
    const char *place = text + end + 1;
    char *next;
    const uint64_t stack = strtoull(place, &next, 16), code = strtoull(next, NULL, 16);
    return (number + 1) ^ (stack << 8) ^ (code << 24);
}

/* Whether a thread that was late is so for the same stop. It slept when it stopped; if it
 * has slept, it was in C code, if it waits there now as it did before. */
static bool stays_late(const gilx_stop_witness *witness) {
    const int64_t sleeps = sleeps_of(witness->tid);
    return (sleeps >= 0 && sleeps == witness->clock) ||
           (witness->call != 0 && call_of(witness->tid) == witness->call);
}

/* Whether the thread that asked for the stop has not run since. Then it has not ended the
 * stop. */
static bool has_not_run(gilx_sampler *sampler, const gilx_stop_witness *asker) {
    return asker->clock >= 0 &&
           gilx_free_read(&sampler->free->threads, &sampler->memory, asker->state,
                          asker->tid)
               .known &&
           gilx_cpu_ns_of(0, asker->tid) == asker->clock;
}

/* Whether a thread that waited for the world has done so all the while, or one that was
 * late has not stopped. One that has stopped in between was woken when the world went on,
 * so that it has run. A signal wakes it as well, and it waits again; that it was a signal
 * shows in the thread that asked for the stop, which would have had to run. */
static bool stays(gilx_sampler *sampler, const gilx_stop_witness *witness) {
    const gilx_free_reading reading = gilx_free_read(
        &sampler->free->threads, &sampler->memory, witness->state, witness->tid);
    if (!reading.known) {
        return false;
    }
    if (witness->late) {
        return reading.state == GILX_STATE_ATTACHED && stays_late(witness);
    }
    const bool slept =
        witness->clock >= 0 && gilx_cpu_ns_of(0, witness->tid) == witness->clock;
    return reading.state == GILX_STATE_SUSPENDED &&
           (slept || has_not_run(sampler, &sampler->monitor->asker));
}

/* Whether words are those of the stop that goes on, by who asked for it. */
static bool is_same(const gilx_world_words *words, const gilx_world_words *before) {
    return words->requested && words->requester != 0 &&
           words->requester == before->requester && words->stopped >= before->stopped;
}

/* Whether the stop at the last sample goes on. */
static bool goes_on(gilx_sampler *sampler, const gilx_world_words *words) {
    const gilx_monitor *monitor = sampler->monitor;
    if (!is_same(words, &monitor->stop)) {
        return false;
    }
    bool stands = false;
    for (int i = 0; i < monitor->witness_count && !stands; ++i) {
        stands = stays(sampler, &monitor->witnesses[i]);
    }
    return stands;
}

/* Find threads that will show whether the stop goes on until the next sample. If none
 * waits, those that did stay: a signal may have woken them for a moment. Returns whether
 * any does: a stop for which no thread waits disturbs nobody. */
static bool find_witnesses(gilx_sampler *sampler, const gilx_world_words *words) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_stop_thread threads[GILX_WITNESSES + 1]; /* the one that asked is in it */
    const int count =
        gilx_stop_threads(sampler, words, false, threads, GILX_WITNESSES + 1);
    int found = 0;
    monitor->asker = (gilx_stop_witness){.clock = -1};
    for (int i = 0; i < count; ++i) {
        const gilx_stop_thread *one = &threads[i];
        const bool late = one->role == GILX_STOP_LATE;
        gilx_stop_witness witness = {
            .state = one->state,
            .tid = one->tid,
            .late = late,
            .clock = late ? sleeps_of(one->tid) : gilx_cpu_ns_of(0, one->tid),
            .call = late ? call_of(one->tid) : 0,
        };
        if (one->role == GILX_STOP_ASKER) {
            monitor->asker = witness;
        } else if (found < GILX_WITNESSES) {
            monitor->witnesses[found++] = witness;
        }
    }
    monitor->witness_count = found > 0 ? found : monitor->witness_count;
    return found > 0;
}

/* ---- reports ---------------------------------------------------------------------- */

/* Report on a stop. Returns whether it still went on when all stacks had been read. */
static bool report(gilx_sampler *sampler, const gilx_world_words *words, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    const gilx_stop_facts facts = {
        .words = *words,
        .length_ns = at_ns - stall->since_ns,
        .again = stall->record >= 0,
        .all = monitor->options.exits,
        .unreported = monitor->counts[GILX_WORLD_STALL].unreported,
        .process = (int64_t)sampler->process,
        .requester = atomic_load(&sampler->requester),
    };
    gilx_stall_place place;
    uint32_t waiters;
    gilx_world_report(sampler, monitor->codes, &facts, &monitor->text, &place, &waiters);
    gilx_world_words after;
    if (!gilx_world_words_now(sampler->free->threads.world, &after) ||
        after.stopped != words->stopped || !goes_on(sampler, &after)) {
        return false; /* what was read may belong to other calls */
    }
    stall->waiters = waiters > stall->waiters ? waiters : stall->waiters;
    gilx_stall_write(sampler, GILX_WORLD_STALL, stall, &place, facts.length_ns);
    if (monitor->options.exits) {
        _exit(GILX_EXIT_STATUS);
    }
    return true;
}

static void report_if_due(gilx_sampler *sampler, const gilx_world_words *words,
                          int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    if (gilx_stall_is_due(sampler, GILX_WORLD_STALL, stall, at_ns)) {
        const bool may = monitor->options.exits ||
                         gilx_stall_may_be_reported(monitor, GILX_WORLD_STALL, stall);
        const bool reported = may && report(sampler, words, at_ns);
        gilx_stall_next(monitor, GILX_WORLD_STALL, stall, reported);
    }
}

static void end_stall(gilx_sampler *sampler, const gilx_world_words *words,
                      int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_text *text = &monitor->text;
    const bool stopped =
        !monitor->stop.stopped && is_same(words, &monitor->stop) && words->stopped;
    gilx_text_begin(text, (int64_t)sampler->process);
    gilx_text_add(text, stopped ? "all threads had stopped after "
                                : "the stop of the world was over after ");
    gilx_text_add_seconds(text, at_ns - monitor->stall.since_ns);
    gilx_text_end_line(text);
    gilx_stall_end(sampler, &monitor->stall, at_ns);
}

/* Note that one stop has gone on for as long as it was followed. */
static void note_least(gilx_sampler *sampler) {
    const gilx_open_stall *stall = &sampler->monitor->stall;
    pthread_mutex_lock(&sampler->sums);
    gilx_stop_bounds_least(&sampler->free->bounds, stall->last_ns - stall->since_ns);
    pthread_mutex_unlock(&sampler->sums);
}

static void follow(gilx_sampler *sampler, const gilx_world_words *words, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    if (stall->active && !goes_on(sampler, words)) {
        end_stall(sampler, words, at_ns);
    }
    if (!words->requested || words->requester == 0) {
        return;
    }
    const bool awaited = find_witnesses(sampler, words);
    if (!stall->active && awaited) {
        gilx_stall_begin(stall, monitor->looked_ns, at_ns, monitor->options.stall_ns);
    }
    monitor->stop = *words;
    if (stall->active) {
        gilx_stall_go_on(sampler, stall, at_ns);
        note_least(sampler);
        report_if_due(sampler, words, at_ns);
    }
}

void gilx_world_look(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    const uintptr_t world = sampler->free->threads.world;
    gilx_world_words words = {.requested = 0};
    if (world != 0 && !gilx_world_words_now(world, &words)) {
        words = (gilx_world_words){.requested = 0}; /* stops follow one another */
    }
    const int64_t at_ns = gilx_now_ns();
    gilx_stall_refill(monitor, at_ns - monitor->looked_ns);
    if (monitor->options.stall_ns > 0 && world != 0) {
        follow(sampler, &words, at_ns);
    }
    gilx_loops_look(sampler, at_ns);
    monitor->looked_ns = at_ns;
}

void gilx_world_end(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_world_look(sampler); /* a stall may just have ended */
    if (gilx_stall_is_open(&monitor->stall)) {
        gilx_text *text = &monitor->text;
        gilx_text_begin(text, (int64_t)sampler->process);
        gilx_text_add(text, "the monitor was stopped during a stop of the world, for ");
        gilx_text_add_seconds(text, monitor->looked_ns - monitor->stall.since_ns);
        gilx_text_add(text, " so far");
        gilx_text_end_line(text);
        gilx_stall_leave_open(sampler, &monitor->stall);
    }
    gilx_loops_end(sampler);
}
