/* The state of a sampler, and the functions that its source files share.
 *
 * Files that include this define _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_SAMPLER_SAMPLER_STATE_H
#define GILX_SAMPLER_SAMPLER_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../platform/threads.h"
#include "condition.h"
#include "gil_words.h"
#include "layouts.h"
#include "nested_ids.h"
#include "sampler.h"
#include "thread_table.h"

enum {
    GILX_WATCHED = 0, /* place of the watched thread, the first one in the table */
    GILX_MOST_ACTIVE = 12,
    GILX_HOLDERS = 8, /* thread states that are identified in one sample */
};

/* Name of the threads of all samplers. They are none of the program's. */
#define GILX_SAMPLER_NAME "gilx-watch"

/* A thread, by its place, and the share of a sample for which it held the GIL. */
typedef struct {
    int place;
    double share;
} gilx_holding;

typedef struct gilx_monitor gilx_monitor;

/* Copy of what is read at once of another process: its GIL's words and its lock. */
typedef struct {
    gilx_gil_struct words;
    unsigned char lock[GILX_LOCK_SIZE];
} gilx_gil_copy;

struct gilx_sampler {
    gilx_gil_words words; /* those of `copy` if the GIL is another process's */
    gilx_gil_copy copy;
    atomic_bool lost; /* see gilx_sampler_lost() */
    gilx_sampler_options options;
    gilx_memory memory; /* closed if thread states are not to be read */
    gilx_memory given;  /* opened by the thread that starts it, which closes it: once the
                           other one runs, or after its end if it is another process's */
    bool private_files; /* the thread has its own table of files */
    int status;         /* an errno, if the thread could not begin */
    pid_t process;
    gilx_thread thread;
    bool started;

    pthread_mutex_t mutex; /* of the next two and the condition that they changed */
    pthread_cond_t changed;
    bool running, stopping;

    /* Samples count from begin to end. Both are in the future until they are known. */
    _Atomic int64_t begin_ns, end_ns;

    /* Of a thread that only asks for the GIL: its native id, 0 if there is none, and
     * whether it does so now. */
    _Atomic int64_t requester;
    atomic_bool asking;

    /* The rest belongs to the thread while it runs. It changes what a monitor's readers
     * copy only while it has this mutex, for a sample at most. */
    pthread_mutex_t sums;
    gilx_monitor *monitor;        /* NULL if this is a watch */
    gilx_thread_activities ended; /* sums of the threads that left the table, */
    int64_t ended_threads;        /* and their number */
    int shrink_at;                /* number of threads in the table */
    uint16_t new_places[GILX_THREADS];
    gilx_totals totals;
    uint64_t random;
    int64_t free_ns, held_ns; /* last read that found the watched free; first since that
                                 found it holding, or 0 */
    int64_t held_from;        /* number of samples before that one */
    int64_t dense_ns;         /* first of the latest reads that are close together */
    int64_t read_ns;          /* the last read */
    gilx_sample *samples;
    int64_t sample_count;
    gilx_sites *sites; /* NULL if stacks are not read */
    int watched_stat;  /* of the watched thread, see gilx_stat_open(), or -1 */
    int64_t own_tid;
    int active[GILX_MOST_ACTIVE]; /* places of threads that were active lately */
    int active_count, next_active;
    gilx_condition_layout condition; /* of this C library */
    gilx_lock_place gil;             /* addresses at which threads wait for the GIL */
    const void *waiters; /* number of threads that do, see gilx_condition_waiters() */
    gilx_holding held[GILX_HOLDERS]; /* in the last sample */
    int held_count;
    uint16_t alive[GILX_THREADS]; /* places of threads that were there lately */
    int alive_count, next_alive;  /* and the index of the next one to be asked */
    int64_t ask_every; /* threads' clocks are read, and they are asked what they
                          do, in one of so many samples */
    int reads_left;    /* for which there is time; negative: after more */
    int64_t placed;    /* number of the sample that last read where a thread waits */
    int files;         /* number of their files that are open, */
    int most_files;    /* and that may be */
    int next_other;    /* the place after the last one that was polled in turn */
    gilx_free_tracking *free; /* NULL if there is a GIL */
    gilx_nested_ids *nested;  /* NULL if the threads' own ids are those known here */
    gilx_thread_table table;
};

/* ---- sampler.c -------------------------------------------------------------------- */

/* Copy the words of another process's GIL. Returns false if its memory is there no
 * longer; the words stay as they were. */
bool gilx_copy_words(gilx_sampler *sampler, gilx_memory *memory);

/* Have the words as they are now. Those of this process's GIL always are. For the
 * sampler's thread, which alone has the files of its memory. */
static inline bool gilx_refresh_words(gilx_sampler *sampler) {
    return sampler->words.process == 0 || gilx_copy_words(sampler, &sampler->memory);
}

/* ---- sampling_thread.c ------------------------------------------------------------ */

/* Sample until the sampler, which is the argument, is stopped. */
void gilx_sampling_thread(void *argument);

/* Add a slice of time to sums. */
void gilx_ratio_add(gilx_ratio *ratio, double weight, double x, double y, bool first);

/* Close what the thread has opened, or forget its numbers, which mean nothing outside of
 * a private table of files. */
void gilx_close_sampler_files(gilx_sampler *sampler);
void gilx_forget_sampler_files(gilx_sampler *sampler);

/* ---- thread_tracking.c: functions for that thread ---------------------------------- */

/* Find the threads of the process, and their thread states. */
void gilx_list_threads(gilx_sampler *sampler);

/* Return the place of the thread to which a thread state belongs that was just read as
 * the GIL's holder. It is read each time, since addresses of thread states are used
 * again. */
int gilx_place_of_holder(gilx_sampler *sampler, uintptr_t state);

/* Read a thread's CPU time since it was last polled, for the timeline. */
void gilx_poll_thread(gilx_sampler *sampler, int place, gilx_sample *sample);

/* Note that a thread held the GIL in this sample, and poll it from now on. */
void gilx_note_active(gilx_sampler *sampler, int place);

/* Poll the threads that were active lately, and some others. */
void gilx_poll_others(gilx_sampler *sampler, gilx_sample *sample);

/* Whether the thread state that is known of a thread still is that of this thread. */
bool gilx_has_state(gilx_sampler *sampler, int place);

/* Read from a thread's state whether it wants the GIL. Returns false if that is not
 * known. */
bool gilx_wants_gil(gilx_sampler *sampler, int place, bool *wants);

/* ---- activity_tracking.c: functions for that thread -------------------------------- */

/* Begin to ask threads what they do. */
void gilx_begin_activities(gilx_sampler *sampler);

/* Add for which shares of a sample, which stands for `weight` ns, threads held the GIL. A
 * place may come more than once. */
void gilx_count_holders(gilx_sampler *sampler, double weight,
                        const gilx_holding *holdings, int count);

/* Ask some threads, in turn, what they do. */
void gilx_poll_activities(gilx_sampler *sampler, gilx_sample *sample);

/* End that: read clocks for the last time. */
void gilx_end_activities(gilx_sampler *sampler);
void gilx_close_files(gilx_sampler *sampler);
void gilx_close_files_of(gilx_sampler *sampler, gilx_watched_thread *thread);

/* Return a part of a whole in GILX_MOST_SHAREths. */
uint8_t gilx_share_of(double part, double whole);

#endif
