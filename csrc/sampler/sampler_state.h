/* The state of a sampler, and the functions that its source files share.
 *
 * Files that include this define _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_SAMPLER_SAMPLER_STATE_H
#define GILX_SAMPLER_SAMPLER_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../platform/threads.h"
#include "gil_words.h"
#include "sampler.h"
#include "thread_table.h"

enum {
    GILX_WATCHED = 0, /* place of the watched thread, the first one in the table */
    GILX_MOST_ACTIVE = 12,
};

struct gilx_sampler {
    gilx_gil_words words;
    gilx_sampler_options options;
    gilx_memory memory; /* closed if thread states are not to be read */
    pid_t process;
    gilx_thread thread;
    bool started;

    pthread_mutex_t mutex; /* of the next two and the condition that they changed */
    pthread_cond_t changed;
    bool running, stopping;

    /* Samples count from begin to end. Both are in the future until they are known. */
    _Atomic int64_t begin_ns, end_ns;

    /* The rest belongs to the thread while it runs. */
    gilx_totals totals;
    uint64_t random;
    int64_t free_ns, held_ns; /* last read that found the watched free; first since that
                                 found it holding, or 0 */
    int64_t held_from;        /* number of samples before that one */
    int64_t dense_ns;         /* first of the latest reads that are close together */
    int64_t read_ns;          /* the last read */
    gilx_look *looks;
    int64_t look_count;
    gilx_sites *sites; /* NULL if stacks are not read */
    int watched_stat;  /* of the watched thread, see gilx_stat_open(), or -1 */
    int64_t own_tid;
    int active[GILX_MOST_ACTIVE]; /* places of threads that were active lately */
    int active_count;
    int next_other; /* the place after the last one that was polled in turn */
    gilx_thread_table table;
};

/* ---- sampling_thread.c ------------------------------------------------------------ */

/* Sample until the sampler, which is the argument, is stopped. */
void gilx_sampling_thread(void *argument);

/* ---- thread_tracking.c: functions for that thread ---------------------------------- */

/* Find the threads of the process, and their thread states. */
void gilx_list_threads(gilx_sampler *sampler);

/* Return the place of the thread to which a thread state belongs that was just read as
 * the GIL's holder. It is read each time, since addresses of thread states are used
 * again. */
int gilx_place_of_holder(gilx_sampler *sampler, uintptr_t state);

/* Read a thread's CPU time since it was last polled, for the timeline, and whether it
 * waits for the GIL, if thread states say so. A thread that is not polled in each sample
 * counts as having been in between as it is now. */
void gilx_poll_thread(gilx_sampler *sampler, int place, gilx_look *look);

/* Poll a thread that held the GIL in this sample, and keep polling it. */
void gilx_poll_holder(gilx_sampler *sampler, int place, gilx_look *look);

/* Poll the threads that were active lately, and some others. */
void gilx_poll_others(gilx_sampler *sampler, gilx_look *look);

/* Return a part of a whole in GILX_MOST_SHAREths. */
uint8_t gilx_share_of(double part, double whole);

#endif
