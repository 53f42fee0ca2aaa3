#define _POSIX_C_SOURCE 200809L

#include "monitor_state.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/touched_memory.h"
#include "condition.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "log_writer.h"
#include "stack_reader.h"

enum { MOST_WISHES = 32 }; /* threads that are asked whether they want the GIL, at once */

gilx_monitor *gilx_monitor_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options) {
    gilx_monitor *monitor = gilx_allocate_touched(sizeof(*monitor), sizeof(*monitor));
    if (monitor == NULL) {
        return NULL;
    }
    monitor->options = *options->monitor;
    monitor->log.file = -1;
    int status = 0;
    if (gilx_monitor_limit_ns(monitor) > 0) {
        status = gilx_log_open(&monitor->log, monitor->options.log);
    }
    if (status == 0 && options->stacks != NULL) {
        const bool gil = options->free_threads == NULL;
        monitor->reader =
            gil ? gilx_stack_reader_new(words, options->stacks, options->collecting)
                : NULL;
        monitor->codes = gilx_code_table_new(options->stacks, options->code_type);
        status = (gil && monitor->reader == NULL) || monitor->codes == NULL ? ENOMEM : 0;
    }
    if (status != 0) {
        gilx_monitor_free(monitor);
        errno = status;
        return NULL;
    }
    gilx_stall_fill(monitor);
    return monitor;
}

void gilx_monitor_free(gilx_monitor *monitor) {
    if (monitor != NULL) {
        gilx_log_close(&monitor->log);
        gilx_stack_reader_free(monitor->reader);
        gilx_code_table_free(monitor->codes);
        free(monitor);
    }
}

int64_t gilx_monitor_limit_ns(const gilx_monitor *monitor) {
    const int64_t stall = monitor->options.stall_ns, loop = monitor->options.loop_ns;
    return stall == 0 || (loop > 0 && loop < stall) ? loop : stall;
}

void gilx_monitor_begin(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    monitor->looked_ns = gilx_now_ns();
    monitor->holds = gilx_hold_track_from(monitor->looked_ns);
}

void gilx_monitor_close_log(gilx_monitor *monitor) {
    gilx_log_close(&monitor->log);
}

void gilx_monitor_forget_log(gilx_monitor *monitor) {
    monitor->log.file = -1;
}

int gilx_monitor_log(const gilx_monitor *monitor) {
    return monitor->log.file;
}

/* ---- samples ---------------------------------------------------------------------- */

/* Return the number of threads that wait for the GIL, as far as that is known. */
static uint32_t count_waiters(gilx_sampler *sampler) {
    if (sampler->waiters != NULL) {
        return gilx_condition_waiters(sampler->waiters);
    }
    uint32_t count = 0;
    for (int i = 0; sampler->totals.wishes && i < MOST_WISHES && i < sampler->alive_count;
         ++i) {
        bool wants = false;
        (void)gilx_wants_gil(sampler, sampler->alive[i], &wants);
        count += wants;
    }
    return count;
}

/* Read the words until none has changed meanwhile, or say that it is not held. */
static gilx_hold_sample read_words(gilx_sampler *sampler, uint32_t *waiters) {
    const gilx_gil_words *words = &sampler->words;
    gilx_hold_sample sample = {.switches = gilx_gil_switches(words)};
    sample.held = gilx_gil_locked(words);
    sample.holder = gilx_gil_holder(words);
    *waiters = count_waiters(sampler);
    sample.awaited = *waiters > 0;
    sample.held = sample.held && gilx_gil_locked(words) &&
                  gilx_gil_switches(words) == sample.switches;
    sample.at_ns = gilx_now_ns();
    return sample;
}

/* Find out whether a hold without a waiter goes on, by its stack. Most end before the
 * next sample, so the first one that may be of the same hold reads it. */
static void follow_stack(gilx_sampler *sampler, gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    const int on = gilx_hold_goes_on(&monitor->holds, sample);
    if (monitor->reader == NULL || on == 1) {
        return;
    }
    if (on == 0) {
        monitor->stack.count = 0;
        return;
    }
    if (monitor->stack.count > 0) {
        sample->stands =
            gilx_stack_stands(monitor->reader, &sampler->memory, &monitor->stack)
                ? GILX_STANDS
                : GILX_MOVED;
    }
    if (sample->stands != GILX_STANDS && !sample->awaited) {
        gilx_stack_read(monitor->reader, &sampler->memory, &monitor->stack);
    }
}

/* ---- reports ---------------------------------------------------------------------- */

/* Return a number of waiting threads without the one that only asks. */
static uint32_t without_requester(const gilx_sampler *sampler, uint32_t waiters) {
    return waiters - (waiters > 0 && atomic_load(&sampler->requester) != 0);
}

/* Whether the GIL is still in the hold of the stall. */
static bool still_held(const gilx_sampler *sampler) {
    return gilx_gil_locked(&sampler->words) &&
           gilx_gil_switches(&sampler->words) == sampler->monitor->switches;
}

/* Report on the GIL. Returns whether it was still held when all stacks had been read. */
static bool report(gilx_sampler *sampler, const gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    const gilx_stall_facts facts = {
        .holder = sample->holder,
        .waiters = stall->waiters,
        .length_ns = sample->at_ns - stall->since_ns,
        .again = stall->record >= 0,
        .all = monitor->options.exits,
        .unreported = monitor->counts[GILX_GIL_STALL].unreported,
        .process = (int64_t)sampler->process,
        .requester = atomic_load(&sampler->requester),
    };
    gilx_stall_place place;
    gilx_stall_report(sampler, monitor->codes, &facts, &monitor->text, &place);
    if (!still_held(sampler)) { /* what was read may belong to other calls */
        return false;
    }
    gilx_stall_write(sampler, GILX_GIL_STALL, stall, &place, facts.length_ns);
    if (monitor->options.exits) {
        _exit(GILX_EXIT_STATUS);
    }
    return true;
}

/* Report if that is due, and there were not too many reports lately. */
static void report_if_due(gilx_sampler *sampler, const gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    if (gilx_stall_is_due(sampler, GILX_GIL_STALL, stall, sample->at_ns)) {
        const bool may = monitor->options.exits ||
                         gilx_stall_may_be_reported(monitor, GILX_GIL_STALL, stall);
        const bool reported = may && report(sampler, sample);
        gilx_stall_next(monitor, GILX_GIL_STALL, stall, reported);
    }
}

/* Say that the GIL was released, if it was reported that it was not. */
static void end_stall(gilx_sampler *sampler, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_text *text = &monitor->text;
    gilx_text_begin(text, (int64_t)sampler->process);
    gilx_text_add(text, "the GIL was released after ");
    gilx_text_add_seconds(text, at_ns - monitor->stall.since_ns);
    gilx_text_end_line(text);
    gilx_stall_end(sampler, &monitor->stall, at_ns);
}

static void follow_stall(gilx_sampler *sampler, const gilx_hold_sample *sample,
                         uint32_t waiters) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &monitor->stall;
    /* A thread that waits is awake now and then, and is not counted then. */
    if (stall->active && !(sample->held && sample->switches == monitor->switches)) {
        end_stall(sampler, sample->at_ns);
    }
    if (!stall->active && sample->held && waiters > 0) {
        gilx_stall_begin(stall, monitor->looked_ns, sample->at_ns,
                         monitor->options.stall_ns);
        monitor->switches = sample->switches;
    }
    if (stall->active) {
        const uint32_t counted = without_requester(sampler, waiters);
        stall->waiters = counted > stall->waiters ? counted : stall->waiters;
        gilx_stall_go_on(sampler, stall, sample->at_ns);
        report_if_due(sampler, sample);
    }
}

int64_t gilx_monitor_due(const gilx_monitor *monitor) {
    const int64_t gil = gilx_stall_due(&monitor->stall), loop = gilx_loops_due(monitor);
    return gil < loop ? gil : loop;
}

void gilx_monitor_look(gilx_sampler *sampler, bool unbroken) {
    gilx_monitor *monitor = sampler->monitor;
    if (sampler->free != NULL) {
        gilx_world_look(sampler);
        return;
    }
    uint32_t waiters;
    gilx_hold_sample sample = read_words(sampler, &waiters);
    sample.held = sample.held && unbroken;
    follow_stack(sampler, &sample);
    pthread_mutex_lock(&sampler->sums);
    gilx_hold_track_add(&monitor->holds, &sample);
    pthread_mutex_unlock(&sampler->sums);
    gilx_stall_refill(monitor, sample.at_ns - monitor->looked_ns);
    if (monitor->options.stall_ns > 0) {
        follow_stall(sampler, &sample, waiters);
    }
    gilx_loops_look(sampler, sample.at_ns);
    monitor->looked_ns = sample.at_ns;
}

void gilx_monitor_end(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    if (sampler->free != NULL) {
        gilx_world_end(sampler);
        return;
    }
    gilx_monitor_look(sampler, true); /* a stall may just have ended */
    if (gilx_stall_is_open(&monitor->stall)) {
        gilx_text *text = &monitor->text;
        gilx_text_begin(text, (int64_t)sampler->process);
        gilx_text_add(text,
                      "the monitor was stopped while the GIL was not released, for ");
        gilx_text_add_seconds(text, monitor->looked_ns - monitor->stall.since_ns);
        gilx_text_add(text, " so far");
        gilx_text_end_line(text);
        gilx_stall_leave_open(sampler, &monitor->stall);
    }
    gilx_loops_end(sampler);
}

/* ---- readings --------------------------------------------------------------------- */

/* Copy what is known of stops of the world. */
static void copy_world(gilx_sampler *sampler, gilx_reading *reading) {
    gilx_free_tracking *tracking = sampler->free;
    reading->free_threads = tracking != NULL;
    reading->world = tracking != NULL && tracking->threads.world != 0;
    if (reading->world) {
        reading->stopped = tracking->stopped;
        reading->stopping = tracking->stopping;
        reading->stops = tracking->stops;
        reading->longest_stop = gilx_stop_bounds_take(&tracking->bounds, reading->now_ns);
    }
}

/* Copy all but the threads, if `capacity` is enough for them. */
static bool copy(gilx_sampler *sampler, gilx_reading *reading, int capacity) {
    gilx_monitor *monitor = sampler->monitor;
    pthread_mutex_lock(&sampler->sums);
    reading->count = sampler->table.count;
    const bool fits = reading->count <= capacity;
    if (fits) {
        const int64_t now = gilx_now_ns();
        reading->totals = sampler->totals;
        reading->totals.begin_ns = atomic_load(&sampler->begin_ns);
        const int64_t end = atomic_load(&sampler->end_ns);
        reading->now_ns = now < end ? now : end;
        reading->longest = gilx_hold_track_take(&monitor->holds, reading->now_ns);
        copy_world(sampler, reading);
        for (int kind = 0; kind < GILX_STALL_KINDS; ++kind) {
            reading->stalls[kind] = monitor->counts[kind].count;
        }
        reading->dropped = monitor->dropped;
        reading->ended = sampler->ended;
        reading->ended_threads = sampler->ended_threads;
        memcpy(reading->threads, sampler->table.threads,
               (size_t)reading->count * sizeof(*reading->threads));
    }
    pthread_mutex_unlock(&sampler->sums);
    return fits;
}

int gilx_sampler_read(gilx_sampler *sampler, gilx_reading *reading) {
    enum { FEW_THREADS = 64 };
    *reading = (gilx_reading){.count = FEW_THREADS};
    for (;;) {
        const int capacity = 2 * reading->count;
        reading->threads = malloc((size_t)capacity * sizeof(*reading->threads));
        if (reading->threads == NULL) {
            return ENOMEM;
        }
        if (copy(sampler, reading, capacity)) {
            return 0;
        }
        free(reading->threads);
    }
}

int gilx_sampler_stalls(gilx_sampler *sampler,
                        gilx_stall_record records[GILX_STALLS_KEPT]) {
    gilx_monitor *monitor = sampler->monitor;
    pthread_mutex_lock(&sampler->sums);
    const int64_t count =
        monitor->recorded < GILX_STALLS_KEPT ? monitor->recorded : GILX_STALLS_KEPT;
    for (int64_t i = 0; i < count; ++i) {
        records[i] = monitor->records[(monitor->recorded - count + i) % GILX_STALLS_KEPT];
    }
    pthread_mutex_unlock(&sampler->sums);
    return (int)count;
}

void gilx_sampler_note(gilx_sampler *sampler, const char *note, const char *deadlock) {
    gilx_monitor *monitor = sampler->monitor;
    pthread_mutex_lock(&sampler->sums);
    strncpy(monitor->note, note, GILX_NOTE_BYTES - 1);
    strncpy(monitor->deadlock, deadlock, GILX_DEADLOCK_NOTE_BYTES - 1);
    pthread_mutex_unlock(&sampler->sums);
}

bool gilx_sampler_sees_waiters(const gilx_sampler *sampler) {
    if (sampler->free != NULL) {
        return sampler->free->threads.world != 0;
    }
    return sampler->waiters != NULL || sampler->totals.wishes;
}

/* ---- a thread that asks ----------------------------------------------------------- */

bool gilx_sampler_wait_to_ask(gilx_sampler *sampler, int64_t wait_ns) {
    const int64_t until = gilx_now_ns() + wait_ns;
    struct timespec time = {.tv_sec = (time_t)(until / 1000000000),
                            .tv_nsec = (long)(until % 1000000000)};
    int status = 0;
    atomic_store(&sampler->requester, gilx_own_tid());
    pthread_mutex_lock(&sampler->mutex);
    while (!sampler->stopping && status == 0) {
        status = pthread_cond_timedwait(&sampler->changed, &sampler->mutex, &time);
    }
    const bool going = !sampler->stopping;
    pthread_mutex_unlock(&sampler->mutex);
    atomic_store(&sampler->asking, going);
    return going;
}

void gilx_sampler_asked(gilx_sampler *sampler) {
    atomic_store(&sampler->asking, false);
}
