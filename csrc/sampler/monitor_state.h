/* What a monitor has in addition to a sampler, and the functions of its thread.
 *
 * Files that include this define _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_SAMPLER_MONITOR_STATE_H
#define GILX_SAMPLER_MONITOR_STATE_H

#include "log_writer.h"
#include "loop_table.h"
#include "monitor.h"
#include "sampler_state.h"
#include "stack_reader.h"
#include "world.h"

/* A stall that goes on. */
typedef struct {
    bool active;
    int64_t before_ns; /* last sample that did not find it, */
    int64_t since_ns;  /* first one that did, plus the time without samples since; */
    int64_t last_ns;   /* last sample */
    int64_t limit_ns;  /* when to report next, from since_ns on; INT64_MAX: never */
    uint32_t waiters;
    int reports;    /* that are due so far, with those that were suppressed */
    int64_t number; /* among all stalls of its kind */
    int64_t record; /* number among records, or -1 */
} gilx_open_stall;

/* A loop that is outside its selector. */
typedef struct {
    gilx_open_stall stall;
    int64_t tid;
    uint64_t turn;
} gilx_open_loop;

enum { GILX_WITNESSES = 8 };

/* A thread that shows whether a stop of the world is still the one that a sample found.
 */
typedef struct {
    uintptr_t state;
    int64_t tid;
    bool late;     /* for the stop; else it waits until the world goes on */
    int64_t clock; /* number of its sleeps if it is late, else its CPU clock; -1: not
                      known */
    uint64_t call; /* if it is late, the system call that it is in, or 0 */
} gilx_stop_witness;

/* What is counted of one kind of stall. */
typedef struct {
    int64_t count;
    int64_t unreported;   /* since the last report */
    int64_t allowance_ns; /* each report takes an interval off it */
} gilx_stall_counts;

struct gilx_monitor {
    gilx_monitor_options options;
    gilx_log log;
    gilx_hold_track holds;
    gilx_stack_reader *reader; /* NULL if stacks are not read, as the next one */
    gilx_code_table *codes;
    gilx_stack stack; /* of the hold that goes on */
    gilx_open_stall stall;
    unsigned long switches; /* of the GIL when that began */
    gilx_world_words stop;  /* without a GIL: the stop of the world at the last sample, */
    gilx_stop_witness witnesses[GILX_WITNESSES]; /* and threads that show if it goes on */
    int witness_count;
    gilx_stop_witness asker; /* the thread that had asked for it, with its CPU clock */
    gilx_open_loop loops[GILX_LOOPS];
    int64_t looked_ns;
    int64_t recorded;
    gilx_stall_counts counts[GILX_STALL_KINDS];
    int64_t dropped; /* bytes of reports that could not be written */
    gilx_text text;
    char note[GILX_NOTE_BYTES];
    char deadlock[GILX_DEADLOCK_NOTE_BYTES];
    gilx_stall_record records[GILX_STALLS_KEPT];
};

/* Return a monitor for a sampler with these options, or NULL with errno set. */
gilx_monitor *gilx_monitor_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options);
void gilx_monitor_free(gilx_monitor *monitor);

/* Return the shortest time after which something is reported, 0 if nothing is. */
int64_t gilx_monitor_limit_ns(const gilx_monitor *monitor);

/* Return when the thread has to look at the GIL again, if not for a sample before. */
int64_t gilx_monitor_due(const gilx_monitor *monitor);

/* Look at the GIL, after a sample or when it is due; report if it is not released.
 * `unbroken`: it was held in all reads of the sample. */
void gilx_monitor_look(gilx_sampler *sampler, bool unbroken);

/* Begin to follow holds. */
void gilx_monitor_begin(gilx_sampler *sampler);

/* Look a last time, and say which stalls go on. */
void gilx_monitor_end(gilx_sampler *sampler);

/* Return the descriptor of the log, -1 if there is none; close it; or forget it. */
int gilx_monitor_log(const gilx_monitor *monitor);
void gilx_monitor_close_log(gilx_monitor *monitor);
void gilx_monitor_forget_log(gilx_monitor *monitor);

/* ---- world_stalls.c: where there is no GIL ---------------------------------------- */

/* Look whether a stop of the world goes on, and at the event loops; report. */
void gilx_world_look(gilx_sampler *sampler);

/* Look a last time, and say which stalls go on. */
void gilx_world_end(gilx_sampler *sampler);

/* ---- blocked_loops.c -------------------------------------------------------------- */

/* Look at the event loops, at the time of the monitor's look; report those that have not
 * come back to their selector. */
void gilx_loops_look(gilx_sampler *sampler, int64_t at_ns);

/* Say which loops are blocked when the sampler is stopped. */
void gilx_loops_end(gilx_sampler *sampler);

/* Return when a loop has to be looked at again, INT64_MAX: never. */
int64_t gilx_loops_due(const gilx_monitor *monitor);

/* ---- open_stalls.c: stalls of both kinds ------------------------------------------ */

/* Begin a stall that a sample has just found. */
void gilx_stall_begin(gilx_open_stall *stall, int64_t before_ns, int64_t at_ns,
                      int64_t limit_ns);

/* Note that a stall still goes on at a sample, before the monitor does. */
void gilx_stall_go_on(gilx_sampler *sampler, gilx_open_stall *stall, int64_t at_ns);

/* Whether a report is due; a stall with one is counted. */
bool gilx_stall_is_due(gilx_sampler *sampler, gilx_stall_kind kind,
                       gilx_open_stall *stall, int64_t at_ns);

/* Whether there were not too many reports of other stalls lately. */
bool gilx_stall_may_be_reported(const gilx_monitor *monitor, gilx_stall_kind kind,
                                const gilx_open_stall *stall);

/* Write the report that was just made, with the notes, and keep it. */
void gilx_stall_write(gilx_sampler *sampler, gilx_stall_kind kind, gilx_open_stall *stall,
                      const gilx_stall_place *place, int64_t length_ns);

/* Set when the next report is due. `reported`: whether there is one now. */
void gilx_stall_next(gilx_monitor *monitor, gilx_stall_kind kind, gilx_open_stall *stall,
                     bool reported);

/* End a stall. If it was reported, the text that was just made is written, too. */
void gilx_stall_end(gilx_sampler *sampler, gilx_open_stall *stall, int64_t at_ns);

/* Whether a stall goes on that was reported. */
bool gilx_stall_is_open(const gilx_open_stall *stall);

/* Note that such a stall goes on when the sampler is stopped, and write the text that was
 * just made. */
void gilx_stall_leave_open(gilx_sampler *sampler, gilx_open_stall *stall);

int64_t gilx_stall_due(const gilx_open_stall *stall);

/* Allow more reports as time passes. */
void gilx_stall_refill(gilx_monitor *monitor, int64_t passed_ns);

/* Allow as many as there may be at once. */
void gilx_stall_fill(gilx_monitor *monitor);

#endif
