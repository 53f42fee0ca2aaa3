/* A sampler that goes on for as long as the program does: what it has counted can be read
 * at any time, and it reports when the GIL is not released.
 */
#ifndef GILX_SAMPLER_MONITOR_H
#define GILX_SAMPLER_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "hold_track.h"
#include "loop_table.h"
#include "sampler.h"
#include "stall_report.h"
#include "world.h"

enum {
    GILX_STALLS_KEPT = 16,
    GILX_NOTE_BYTES = 1 << 13,
    GILX_DEADLOCK_NOTE_BYTES = 1 << 9,
    GILX_EXIT_STATUS = 70, /* of a process that is ended since its GIL is not released */
};

typedef enum {
    GILX_GIL_STALL,   /* the GIL is not released while a thread waits for it */
    GILX_LOOP_STALL,  /* an event loop does not come back to its selector */
    GILX_WORLD_STALL, /* without a GIL: a stop of all threads waits for one, or goes on */
    GILX_STALL_KINDS,
} gilx_stall_kind;

struct gilx_monitor_options {
    int64_t stall_ns; /* time for which a thread waits for the GIL, or the world; 0: no
                         stall is reported */
    int64_t loop_ns;  /* time outside the selector; 0: no event loop is watched */
    const gilx_loop_table *loops; /* event loops; it stays as long as the sampler */
    bool exits; /* whether the process ends after a report on the GIL or the world */
    int log;    /* descriptor of the file for reports, of which a copy is made */
};

/* A stall that was reported. Times are in ns. */
typedef struct {
    gilx_stall_kind kind;
    int64_t number;          /* among all stalls of its kind, from 1 */
    int64_t begin_ns;        /* when a thread was first found to wait, or to be stuck, */
    int64_t low_ns, high_ns; /* bounds of the time until its end: -1 if it goes on, */
    bool open_at_stop;       /* or did when the sampler was stopped */
    uint32_t waiters;        /* most threads that waited */
    gilx_stall_place place;  /* where the GIL was held, the loop was, or the thread was
                                for which a stop of the world waited, */
    uint32_t text_size;
    char text[GILX_REPORT_BYTES]; /* and the last report */
} gilx_stall_record;

/* What a sampler has counted so far. */
typedef struct {
    gilx_totals totals;
    int64_t now_ns;
    gilx_hold_length longest;      /* since the last reading; without a GIL, */
    gilx_stop_length longest_stop; /* this, and what is known of stops of the world: */
    gilx_ratio stopped, stopping;  /* see gilx_free_tracking */
    int64_t stops;
    bool world;                       /* whether they are read; */
    bool free_threads;                /* whether there is no GIL */
    int64_t stalls[GILX_STALL_KINDS]; /* number of stalls, reported or not, */
    int64_t dropped;              /* and of bytes of reports that could not be written */
    gilx_thread_activities ended; /* of the threads that are no longer listed */
    int64_t ended_threads;        /* and their number */
    int count;
    gilx_watched_thread *threads;
} gilx_reading;

/* Read what a monitor has counted, from any thread, while it runs and after the stop.
 * Returns 0, or ENOMEM. `reading->threads` is for free(). The caller does not hold the
 * GIL. */
int gilx_sampler_read(gilx_sampler *sampler, gilx_reading *reading);

/* Copy the stalls that were reported last, the oldest one first. Returns their number. */
int gilx_sampler_stalls(gilx_sampler *sampler,
                        gilx_stall_record records[GILX_STALLS_KEPT]);

/* Set a text that is written after each report, and one before it if the thread that
 * holds the GIL waits for another lock, and others wait for the GIL. */
void gilx_sampler_note(gilx_sampler *sampler, const char *note, const char *deadlock);

/* Whether stalls can be found: it is known how many threads wait for the GIL, or stops of
 * the world are read; after the start. */
bool gilx_sampler_sees_waiters(const gilx_sampler *sampler);

/* For a thread that only asks for the GIL: wait so long. Returns false when the sampler
 * is stopped. After it returned true, the thread takes the GIL, and then says so. */
bool gilx_sampler_wait_to_ask(gilx_sampler *sampler, int64_t wait_ns);
void gilx_sampler_asked(gilx_sampler *sampler);

#endif
