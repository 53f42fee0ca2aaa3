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
#include "linux_threads.h"
#include "log_writer.h"
#include "stack_reader.h"

enum {
    MOST_WISHES = 32,    /* threads that are asked whether they want the GIL, at once */
    REPORTS_AT_ONCE = 5, /* of stalls one after another, */
    AGAIN = 10,          /* and of one stall: after so many times the time before, */
    MOST_REPORTS = 3,    /* so often */
};

/* After this time there may be a report more. */
static const int64_t REPORT_INTERVAL_NS = 10000000000;

/* A longer time without a look is none of a stall: the process was stopped, or had no
 * CPU, and the thread that holds the GIL neither. */
static const int64_t LONGEST_GAP_NS = 100000000;

/* A stall that goes on. */
typedef struct {
    bool active;
    unsigned long switches;
    int64_t before_ns; /* last look that found no thread waiting, */
    int64_t since_ns;  /* first one that did, plus the time without looks since; */
    int64_t last_ns;   /* last look */
    int64_t limit_ns;  /* when to report next, from since_ns on; INT64_MAX: never */
    uint32_t waiters;
    int reports;    /* that are due so far, with those that were suppressed */
    int64_t record; /* number among records, or -1 */
} open_stall;

struct gilx_monitor {
    gilx_monitor_options options;
    gilx_log log;
    gilx_hold_track holds;
    gilx_stack_reader *reader; /* NULL if stacks are not read, as the next one */
    gilx_code_table *codes;
    gilx_stack stack; /* of the hold that goes on */
    open_stall stall;
    int64_t looked_ns;
    int64_t stalls, recorded;
    int64_t unreported;   /* stalls since the last report */
    int64_t dropped;      /* bytes of reports that could not be written */
    int64_t allowance_ns; /* each report takes an interval off it */
    gilx_text text;
    char note[GILX_NOTE_BYTES];
    char deadlock[GILX_DEADLOCK_NOTE_BYTES];
    gilx_stall_record records[GILX_STALLS_KEPT];
};

gilx_monitor *gilx_monitor_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options) {
    gilx_monitor *monitor = gilx_allocate_touched(sizeof(*monitor), sizeof(*monitor));
    if (monitor == NULL) {
        return NULL;
    }
    monitor->options = *options->monitor;
    monitor->log.file = -1;
    int status = 0;
    if (monitor->options.stall_ns > 0) {
        status = gilx_log_open(&monitor->log, monitor->options.log);
    }
    if (status == 0 && options->stacks != NULL) {
        monitor->reader =
            gilx_stack_reader_new(words, options->stacks, options->collecting);
        monitor->codes = gilx_code_table_new(options->stacks, options->code_type);
        status = monitor->reader == NULL || monitor->codes == NULL ? ENOMEM : 0;
    }
    if (status != 0) {
        gilx_monitor_free(monitor);
        errno = status;
        return NULL;
    }
    monitor->allowance_ns = REPORTS_AT_ONCE * REPORT_INTERVAL_NS;
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

int64_t gilx_monitor_stall_ns(const gilx_monitor *monitor) {
    return monitor->options.stall_ns;
}

void gilx_monitor_begin(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    monitor->looked_ns = gilx_now_ns();
    monitor->holds = gilx_hold_track_from(monitor->looked_ns);
}

void gilx_monitor_end(gilx_monitor *monitor) {
    gilx_log_close(&monitor->log);
}

/* ---- looks ------------------------------------------------------------------------ */

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

/* Find out whether a hold without a waiter goes on, by its stack. */
static void follow_stack(gilx_sampler *sampler, gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    const int on = gilx_hold_goes_on(&monitor->holds, sample);
    if (monitor->reader == NULL || on == 1 || !sample->held) {
        return;
    }
    if (on == -1 && monitor->stack.count > 0) {
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

/* Allow more reports as time passes. */
static void refill(gilx_monitor *monitor, int64_t passed_ns) {
    const int64_t most = REPORTS_AT_ONCE * REPORT_INTERVAL_NS;
    const int64_t sum = monitor->allowance_ns + passed_ns;
    monitor->allowance_ns = sum < most ? sum : most;
}

static gilx_stall_record *record_of(gilx_monitor *monitor, int64_t number) {
    return &monitor->records[number % GILX_STALLS_KEPT];
}

/* Return how many threads wait, without the one that only asks. */
static uint32_t waiters_of(const gilx_sampler *sampler) {
    const uint32_t waiters = sampler->monitor->stall.waiters;
    return waiters - (waiters > 0 && atomic_load(&sampler->requester) != 0);
}

/* Keep the report that was just made. */
static void keep_record(gilx_sampler *sampler, const gilx_stall_place *place,
                        int64_t length) {
    gilx_monitor *monitor = sampler->monitor;
    open_stall *stall = &monitor->stall;
    pthread_mutex_lock(&sampler->sums);
    if (stall->record < 0) {
        stall->record = monitor->recorded++;
        record_of(monitor, stall->record)->number = monitor->stalls;
    }
    monitor->dropped = monitor->log.dropped;
    gilx_stall_record *record = record_of(monitor, stall->record);
    record->begin_ns = stall->since_ns;
    record->low_ns = length;
    record->high_ns = -1;
    record->waiters = waiters_of(sampler);
    record->place = *place;
    record->text_size = (uint32_t)monitor->text.size;
    memcpy(record->text, monitor->text.bytes, monitor->text.size);
    pthread_mutex_unlock(&sampler->sums);
}

/* Write the report that was just made, with the notes. */
static void write_report(gilx_sampler *sampler, bool deadlocked) {
    gilx_monitor *monitor = sampler->monitor;
    char note[GILX_NOTE_BYTES], deadlock[GILX_DEADLOCK_NOTE_BYTES];
    pthread_mutex_lock(&sampler->sums);
    memcpy(note, monitor->note, sizeof(note));
    memcpy(deadlock, monitor->deadlock, sizeof(deadlock));
    pthread_mutex_unlock(&sampler->sums);
    gilx_log_write(&monitor->log, monitor->text.bytes, monitor->text.size);
    if (deadlocked) {
        gilx_log_write(&monitor->log, deadlock, strlen(deadlock));
    }
    gilx_log_write(&monitor->log, note, strlen(note));
}

/* Whether the GIL is still in the hold of the stall. */
static bool still_held(const gilx_sampler *sampler) {
    return gilx_gil_locked(&sampler->words) &&
           gilx_gil_switches(&sampler->words) == sampler->monitor->stall.switches;
}

static void report(gilx_sampler *sampler, const gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    open_stall *stall = &monitor->stall;
    const int64_t length = sample->at_ns - stall->since_ns;
    const gilx_stall_facts facts = {
        .holder = sample->holder,
        .waiters = waiters_of(sampler),
        .length_ns = length,
        .again = stall->record >= 0,
        .all = monitor->options.exits,
        .unreported = monitor->unreported,
        .process = (int64_t)sampler->process,
        .requester = atomic_load(&sampler->requester),
    };
    gilx_stall_place place;
    gilx_stall_report(sampler, monitor->codes, &facts, &monitor->text, &place);
    if (!still_held(sampler)) { /* what was read may belong to other calls */
        monitor->unreported += stall->record < 0;
        return;
    }
    if (stall->record < 0) {
        monitor->allowance_ns -= REPORT_INTERVAL_NS;
        monitor->unreported = 0;
    }
    write_report(sampler, place.awaits_lock && facts.waiters > 0);
    keep_record(sampler, &place, length);
    if (monitor->options.exits) {
        _exit(GILX_EXIT_STATUS);
    }
}

/* Report if that is due, and there were not too many reports lately. */
static void report_if_due(gilx_sampler *sampler, const gilx_hold_sample *sample) {
    gilx_monitor *monitor = sampler->monitor;
    open_stall *stall = &monitor->stall;
    if (sample->at_ns - stall->since_ns < stall->limit_ns) {
        return;
    }
    if (stall->reports == 0) {
        pthread_mutex_lock(&sampler->sums);
        ++monitor->stalls;
        pthread_mutex_unlock(&sampler->sums);
    }
    const bool may = monitor->options.exits || stall->record >= 0 ||
                     monitor->allowance_ns >= REPORT_INTERVAL_NS;
    if (may) {
        report(sampler, sample);
    } else {
        monitor->unreported += stall->reports == 0;
    }
    ++stall->reports;
    stall->limit_ns = stall->reports < MOST_REPORTS && stall->limit_ns < INT64_MAX / AGAIN
                          ? stall->limit_ns * AGAIN
                          : INT64_MAX;
}

/* Say that the GIL was released, if it was reported that it was not. */
static void end_stall(gilx_sampler *sampler, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    open_stall *stall = &monitor->stall;
    stall->active = false;
    if (stall->record < 0) {
        return;
    }
    gilx_text *text = &monitor->text;
    gilx_text_clear(text);
    gilx_text_add(text, "gilx: process ", false);
    gilx_text_add_number(text, (int64_t)sampler->process);
    gilx_text_add(text, ": the GIL was released after ", false);
    gilx_text_add_seconds(text, at_ns - stall->since_ns);
    gilx_text_add(text, "\n", true);
    gilx_log_write(&monitor->log, text->bytes, text->size);
    pthread_mutex_lock(&sampler->sums);
    monitor->dropped = monitor->log.dropped;
    gilx_stall_record *record = record_of(monitor, stall->record);
    record->low_ns = stall->last_ns - stall->since_ns;
    record->high_ns = at_ns - stall->before_ns;
    record->waiters = waiters_of(sampler);
    pthread_mutex_unlock(&sampler->sums);
}

static void follow_stall(gilx_sampler *sampler, const gilx_hold_sample *sample,
                         uint32_t waiters) {
    gilx_monitor *monitor = sampler->monitor;
    open_stall *stall = &monitor->stall;
    /* A thread that waits is awake now and then, and is not counted then. */
    if (stall->active && !(sample->held && sample->switches == stall->switches)) {
        end_stall(sampler, sample->at_ns);
    }
    if (!stall->active && sample->held && waiters > 0) {
        *stall = (open_stall){.active = true,
                              .switches = sample->switches,
                              .before_ns = monitor->looked_ns,
                              .since_ns = sample->at_ns,
                              .limit_ns = monitor->options.stall_ns,
                              .record = -1};
    }
    if (stall->active) {
        const int64_t gap = sample->at_ns - monitor->looked_ns - LONGEST_GAP_NS;
        stall->since_ns += gap > 0 ? gap : 0;
        stall->last_ns = sample->at_ns;
        stall->waiters = waiters > stall->waiters ? waiters : stall->waiters;
        report_if_due(sampler, sample);
    }
}

int64_t gilx_monitor_due(const gilx_monitor *monitor) {
    const open_stall *stall = &monitor->stall;
    return stall->active && stall->limit_ns < INT64_MAX - stall->since_ns
               ? stall->since_ns + stall->limit_ns
               : INT64_MAX;
}

void gilx_monitor_look(gilx_sampler *sampler, bool unbroken) {
    gilx_monitor *monitor = sampler->monitor;
    uint32_t waiters;
    gilx_hold_sample sample = read_words(sampler, &waiters);
    sample.held = sample.held && unbroken;
    follow_stack(sampler, &sample);
    pthread_mutex_lock(&sampler->sums);
    gilx_hold_track_add(&monitor->holds, &sample);
    pthread_mutex_unlock(&sampler->sums);
    if (monitor->options.stall_ns > 0) {
        refill(monitor, sample.at_ns - monitor->looked_ns);
        follow_stall(sampler, &sample, waiters);
    }
    monitor->looked_ns = sample.at_ns;
}

/* ---- readings --------------------------------------------------------------------- */

/* Copy all but the threads, if there is room for them. */
static bool copy(gilx_sampler *sampler, gilx_reading *reading, int room) {
    gilx_monitor *monitor = sampler->monitor;
    pthread_mutex_lock(&sampler->sums);
    reading->count = sampler->table.count;
    const bool fits = reading->count <= room;
    if (fits) {
        const int64_t now = gilx_now_ns();
        reading->totals = sampler->totals;
        reading->totals.begin_ns = atomic_load(&sampler->begin_ns);
        const int64_t end = atomic_load(&sampler->end_ns);
        reading->now_ns = now < end ? now : end;
        reading->longest = gilx_hold_track_take(&monitor->holds, reading->now_ns);
        reading->stalls = monitor->stalls;
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
    enum { ROOM = 64 };
    *reading = (gilx_reading){.count = ROOM};
    for (;;) {
        const int room = 2 * reading->count;
        reading->threads = malloc((size_t)room * sizeof(*reading->threads));
        if (reading->threads == NULL) {
            return ENOMEM;
        }
        if (copy(sampler, reading, room)) {
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
        records[i] = *record_of(monitor, monitor->recorded - count + i);
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
