#define _POSIX_C_SOURCE 200809L

#include "monitor_state.h"

#include <string.h>

enum {
    REPORTS_AT_ONCE = 5, /* on stalls of one kind, in quick succession */
    AGAIN = 10,          /* factor from a stall's length at one report to the next one */
    MOST_REPORTS = 3,    /* on one stall */
};

/* After this time there may be one more report. */
static const int64_t REPORT_INTERVAL_NS = 10000000000;

/* A longer time without a sample is not part of a stall: the process was stopped, or had
 * no CPU, so the thread that is stuck did not run either. */
static const int64_t LONGEST_GAP_NS = 100000000;

/* ---- times ------------------------------------------------------------------------ */

void gilx_stall_begin(gilx_open_stall *stall, int64_t before_ns, int64_t at_ns,
                      int64_t limit_ns) {
    *stall = (gilx_open_stall){.active = true,
                               .before_ns = before_ns,
                               .since_ns = at_ns,
                               .last_ns = at_ns,
                               .limit_ns = limit_ns,
                               .record = -1};
}

int64_t gilx_stall_due(const gilx_open_stall *stall) {
    return stall->active && stall->limit_ns < INT64_MAX - stall->since_ns
               ? stall->since_ns + stall->limit_ns
               : INT64_MAX;
}

bool gilx_stall_is_due(gilx_sampler *sampler, gilx_stall_kind kind,
                       gilx_open_stall *stall, int64_t at_ns) {
    if (at_ns - stall->since_ns < stall->limit_ns) {
        return false;
    }
    if (stall->reports == 0) {
        pthread_mutex_lock(&sampler->sums);
        stall->number = ++sampler->monitor->counts[kind].count;
        pthread_mutex_unlock(&sampler->sums);
    }
    return true;
}

/* ---- how many reports ------------------------------------------------------------- */

void gilx_stall_refill(gilx_monitor *monitor, int64_t passed_ns) {
    const int64_t most = REPORTS_AT_ONCE * REPORT_INTERVAL_NS;
    for (int kind = 0; kind < GILX_STALL_KINDS; ++kind) {
        int64_t *allowance = &monitor->counts[kind].allowance_ns;
        *allowance = *allowance < most - passed_ns ? *allowance + passed_ns : most;
    }
}

void gilx_stall_fill(gilx_monitor *monitor) {
    gilx_stall_refill(monitor, REPORTS_AT_ONCE * REPORT_INTERVAL_NS);
}

bool gilx_stall_may_be_reported(const gilx_monitor *monitor, gilx_stall_kind kind,
                                const gilx_open_stall *stall) {
    return stall->record >= 0 || monitor->counts[kind].allowance_ns >= REPORT_INTERVAL_NS;
}

void gilx_stall_next(gilx_monitor *monitor, gilx_stall_kind kind, gilx_open_stall *stall,
                     bool reported) {
    monitor->counts[kind].unreported += !reported && stall->reports == 0;
    ++stall->reports;
    stall->limit_ns = stall->reports < MOST_REPORTS && stall->limit_ns < INT64_MAX / AGAIN
                          ? stall->limit_ns * AGAIN
                          : INT64_MAX;
}

/* ---- records ---------------------------------------------------------------------- */

static gilx_stall_record *record_at(gilx_monitor *monitor, int64_t number) {
    return &monitor->records[number % GILX_STALLS_KEPT];
}

/* Write the report that was just made, with the notes. */
static void write_text(gilx_sampler *sampler, bool deadlocked) {
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

/* Return the record of a stall, or NULL if later ones have taken its place. */
static gilx_stall_record *record_of(gilx_monitor *monitor, const gilx_open_stall *stall) {
    return monitor->recorded - stall->record <= GILX_STALLS_KEPT
               ? record_at(monitor, stall->record)
               : NULL;
}

/* Note in the record of a stall how long it has lasted; `high_ns` is -1 if it goes on. */
static void note_length(gilx_sampler *sampler, const gilx_open_stall *stall,
                        int64_t high_ns, bool open_at_stop) {
    gilx_monitor *monitor = sampler->monitor;
    pthread_mutex_lock(&sampler->sums);
    monitor->dropped = monitor->log.dropped;
    gilx_stall_record *record = record_of(monitor, stall);
    if (record != NULL) {
        record->low_ns = stall->last_ns - stall->since_ns;
        record->high_ns = high_ns;
        record->open_at_stop = open_at_stop;
        record->waiters = stall->waiters;
    }
    pthread_mutex_unlock(&sampler->sums);
}

void gilx_stall_go_on(gilx_sampler *sampler, gilx_open_stall *stall, int64_t at_ns) {
    const int64_t gap = at_ns - sampler->monitor->looked_ns - LONGEST_GAP_NS;
    stall->since_ns += gap > 0 ? gap : 0;
    stall->last_ns = at_ns;
    if (stall->record >= 0) {
        note_length(sampler, stall, -1, false);
    }
}

void gilx_stall_write(gilx_sampler *sampler, gilx_stall_kind kind, gilx_open_stall *stall,
                      const gilx_stall_place *place, int64_t length_ns) {
    gilx_monitor *monitor = sampler->monitor;
    if (stall->record < 0) {
        monitor->counts[kind].allowance_ns -= REPORT_INTERVAL_NS;
        monitor->counts[kind].unreported = 0;
    }
    write_text(sampler,
               kind != GILX_LOOP_STALL && place->awaits_lock && stall->waiters > 0);
    pthread_mutex_lock(&sampler->sums);
    if (stall->record < 0) {
        stall->record = monitor->recorded++;
    }
    monitor->dropped = monitor->log.dropped;
    gilx_stall_record *record = record_of(monitor, stall);
    if (record != NULL) {
        record->kind = kind;
        record->number = stall->number;
        record->begin_ns = stall->since_ns;
        record->low_ns = length_ns;
        record->high_ns = -1;
        record->open_at_stop = false;
        record->waiters = stall->waiters;
        record->place = *place;
        record->text_size = (uint32_t)monitor->text.size;
        memcpy(record->text, monitor->text.bytes, monitor->text.size);
    }
    pthread_mutex_unlock(&sampler->sums);
}

bool gilx_stall_is_open(const gilx_open_stall *stall) {
    return stall->active && stall->record >= 0;
}

void gilx_stall_end(gilx_sampler *sampler, gilx_open_stall *stall, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    stall->active = false;
    if (stall->record >= 0) {
        gilx_log_write(&monitor->log, monitor->text.bytes, monitor->text.size);
        note_length(sampler, stall, at_ns - stall->before_ns, false);
    }
}

void gilx_stall_leave_open(gilx_sampler *sampler, gilx_open_stall *stall) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_log_write(&monitor->log, monitor->text.bytes, monitor->text.size);
    note_length(sampler, stall, -1, true);
}
