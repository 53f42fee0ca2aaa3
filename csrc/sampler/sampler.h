/* A thread that reads a GIL's words at random times and sums up its samples.
 *
 * It never takes the GIL and needs no Python. All its memory is reserved before it
 * starts. Time is cut into slices; it wakes once in each, at a time drawn anew, so that
 * it can't fall into step with what it watches, and reads the words for a few
 * microseconds.
 */
#ifndef GILX_SAMPLER_SAMPLER_H
#define GILX_SAMPLER_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_table.h"
#include "gil_words.h"
#include "safe_memory.h"
#include "sites.h"

/* Sums over slices from which a ratio x / y and its interval follow, however long the
 * watch is. In each slice x and y are from 0 to 1; the weight w is the slice's length. */
typedef struct {
    double x, y;          /* sums of w x and w y */
    double xx, xy, yy;    /* of w^2 x^2, and so on */
    double dxx, dxy, dyy; /* of the same products of the steps from slice to slice */
    double last_x, last_y;
} gilx_ratio;

/* Sums over the samples from begin to end. Durations are in nanoseconds. */
typedef struct {
    int64_t begin_ns, end_ns;
    int64_t wakes;       /* samples, the late ones too */
    int64_t reads;       /* in all samples together */
    int64_t late;        /* samples that came too late to be used */
    double counted;      /* length of all slices with a sample */
    double unknown;      /* length of the slices whose sample was late */
    double unidentified; /* held by threads that could not be identified */
    gilx_ratio own;      /* x: held by the watched thread; y: not held by others */
    gilx_ratio locked;   /* x: held by anyone; y: 1 */
    gilx_ratio waiters;  /* x: number of threads that wait for the GIL; y: 1 if known */
    double most_waiters; /* largest such number */
    double lateness;     /* sum over all wakes */
    int64_t lateness_max_ns;
    int64_t cost_ns;       /* CPU time of the sampler */
    int64_t slice_ns;      /* length of a slice, at the end */
    uint64_t switches;     /* from holder to holder */
    int64_t hold_min_ns;   /* some hold of the watched thread was at least that long */
    int64_t hold_max_ns;   /* and none was longer than that */
    int64_t stretch_ns;    /* longest time in which each read found it holding, */
    int64_t stretch_run;   /* and the number of samples in it */
    int64_t burst_ns;      /* length of the samples in which that thread could run */
    int64_t releases;      /* ends of its holds within these samples */
    double stacks_counted; /* sum of the weights of all samples of stacks, */
    double stacks_squares; /* and of their squares */
    int64_t asked;         /* number of times that a thread's activity was read, */
    int64_t askable;       /* and could have been read, in all samples */
    int64_t compared; /* cases in which both Linux and Python say whether a thread waits
                         for the GIL, */
    int64_t agreed;   /* and those in which they agree */
    int64_t unread_errno; /* of the last failure to list threads, or to open the file with
                             the state of a thread that exists; 0 if there was none */
    bool calls;           /* Linux reports in which system calls threads are */
    bool addresses;       /* Linux reports the address that a thread waits for */
    bool wishes;          /* Python reports which threads want the GIL */
    bool slack;           /* Linux wakes the sampler without timer slack */
    bool short_turns;     /* Linux grants it short turns on a CPU, which begin sooner */
} gilx_totals;

enum {
    GILX_HOLDERS_KEPT = 4,    /* threads that hold the GIL within one sample */
    GILX_CLOCKS_KEPT = 24,    /* CPU clocks that are read in one sample */
    GILX_ACTIVITIES_KEPT = 4, /* threads whose activity is read in one sample */
    GILX_MOST_SHARE = 255,    /* the share 1, in one byte */
};

/* A thread, by its place in the table, and its share of something. */
typedef struct {
    uint16_t place;
    uint8_t share;
} gilx_share;

/* A thread and its gilx_activity. */
typedef struct {
    uint16_t place;
    uint8_t activity;
} gilx_deed;

/* One sample, for the timeline. */
typedef struct {
    int64_t at_ns;
    bool late;
    uint8_t holders, clocks, deeds;     /* number of entries in the next three */
    gilx_share held[GILX_HOLDERS_KEPT]; /* share of the reads */
    gilx_share ran[GILX_CLOCKS_KEPT];   /* CPU time since the thread's clock was last
                                           read, divided by wall time */
    gilx_deed did[GILX_ACTIVITIES_KEPT];
    double weight; /* length of the time that it stands for, in ns */
    int site;      /* where the GIL was held, see gilx_sites_site(); -1: not held, or the
                      stack was not read */
    uint16_t site_place; /* of the thread that held it there */
    bool below;          /* see gilx_site_sample */
} gilx_sample;

/* Offsets in thread states of what the sampler reads; 0 if not known. */
typedef struct {
    int64_t tid;       /* native id (unsigned long) */
    int64_t id;        /* number among the thread states of its interpreter (uint64_t) */
    int64_t waits;     /* whether it wants the GIL (int) */
    int64_t next;      /* the next thread state of the interpreter */
    const void *first; /* not an offset: where the interpreter keeps its first one */
} gilx_thread_state_layout;

typedef struct gilx_monitor_options gilx_monitor_options; /* see monitor.h */
typedef struct gilx_free_threads gilx_free_threads;       /* see free_threads.h */
typedef struct gilx_free_tracking gilx_free_tracking;     /* see free_tracking.h */

typedef struct {
    int64_t watched;  /* native id of the thread whose holding is to be measured */
    double cost;      /* share of one CPU that the sampler may take, above 0 */
    bool reference;   /* read all the time, at the cost of a whole CPU */
    uint64_t seed;    /* of the times drawn */
    int64_t capacity; /* samples that are kept for the timeline; 0: none */
    gilx_thread_state_layout states;
    const gilx_stack_layout *stacks; /* NULL: stacks are not read */
    bool lock_known;       /* true if, in this C library, the condition variable on which
                              threads wait for the GIL comes right after the GIL's words,
                              followed by a mutex, and by a second condition variable and
                              mutex for forced switches */
    const int *collecting; /* whether an interpreter collects garbage; NULL: unknown */
    bool calls;            /* keep the calls that led to where the GIL was held */
    uintptr_t code_type;   /* address of the type of code objects */
    const gilx_free_threads *free_threads; /* NULL with a GIL. Otherwise the words are not
                                              read, and this must outlive the sampler */
    const gilx_monitor_options *monitor;   /* NULL: for a watch, whose sums are read after
                                              the stop. Sites are for watches only */
} gilx_sampler_options;

typedef struct gilx_sampler gilx_sampler;

/* Return a sampler that does not run yet, or NULL with errno set if memory runs out or
 * the log of a monitor can't be opened. It takes over the open `memory` through which it
 * reads thread states, if that is not NULL.
 *
 * The GIL may be that of another process. Everything is then read through `memory`, which
 * must be that process's memory, and of `words` only `process` and `original` are used.
 * No clocks of its threads are kept for a timeline, and a thread that could run counts as
 * one whose CPU clock stands: see gilx_thread_activities. */
gilx_sampler *gilx_sampler_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options, gilx_memory *memory);

/* Start the thread and wait until it runs. Returns 0 or an errno. */
int gilx_sampler_start(gilx_sampler *sampler);

/* Count samples from here on. */
void gilx_sampler_begin(gilx_sampler *sampler);

/* Count samples up to here. The thread may go on for a moment. */
void gilx_sampler_end(gilx_sampler *sampler);

/* Return whether the other process has ended, or executes another program. If so, the
 * sampler's thread has stopped, and the last sample is from before that. */
bool gilx_sampler_lost(const gilx_sampler *sampler);

/* Stop the thread and wait until it has ended, at most for the length of a sample. Does
 * nothing in the child of a fork, which has no such thread. */
void gilx_sampler_stop(gilx_sampler *sampler);

/* Return whether the process was forked since the start, and this is the child. */
bool gilx_sampler_forked(const gilx_sampler *sampler);

/* Return the sums. To be called after the stop. */
const gilx_totals *gilx_sampler_totals(const gilx_sampler *sampler);

/* Return all threads that were found, the watched one first. After the stop. */
int gilx_sampler_threads(const gilx_sampler *sampler,
                         const gilx_watched_thread **threads);

/* Return the samples that were kept, the last ones if there were more than the capacity.
 * After the stop. Samples are numbered from 0; _sample_count returns their number. */
int64_t gilx_sampler_sample_count(const gilx_sampler *sampler);
const gilx_sample *gilx_sampler_sample(const gilx_sampler *sampler, int64_t i);

/* Return the places that held the GIL, NULL if stacks were not read. After the stop. */
const gilx_sites *gilx_sampler_sites(const gilx_sampler *sampler);

/* Return what is known of threads without a GIL; NULL with one. After the stop. */
const gilx_free_tracking *gilx_sampler_free_threads(const gilx_sampler *sampler);

/* Stop it if it runs, and free it. */
void gilx_sampler_free(gilx_sampler *sampler);

#endif
