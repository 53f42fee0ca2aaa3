/* Tracking of threads by the sampler where there is no GIL.
 *
 * Files that include this define _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_SAMPLER_FREE_TRACKING_H
#define GILX_SAMPLER_FREE_TRACKING_H

#include "free_threads.h"
#include "lock_table.h"
#include "sampler_state.h"
#include "sites.h"
#include "world.h"

/* Sums over samples, in ns, and of squares: for how long a stop of the world was asked
 * for at a site, and for how long one waited for a thread there. */
typedef struct {
    double asked, asked_squares, late, late_squares;
    int64_t samples;
} gilx_stop_site;

enum { GILX_LATE_KEPT = 16 };

struct gilx_free_tracking {
    gilx_free_threads threads;
    gilx_ratio stopped;  /* x: a stop was asked for or went on; y: 1 if known */
    gilx_ratio stopping; /* x: not all threads had stopped yet */
    int64_t stops;  /* at least so many: samples that found one, after others that did not
                       find this one */
    uintptr_t stop; /* thread state that had asked for it in the last sample, or 0 */
    gilx_stop_bounds bounds;
    gilx_free_reading own;  /* of the watched thread, in the last sample */
    bool gil_enabled;       /* whether the GIL was on then, after all */
    gilx_world_burst burst; /* of the last sample, */
    int asker, asker_site;  /* the place of the thread that had asked, and its site, */
    int late_count;         /* and the same of those for which the stop waited */
    int late[GILX_LATE_KEPT], late_sites[GILX_LATE_KEPT];
    bool standing; /* whether the last thread that could run had no CPU */
    int lock;      /* number of the lock that the last thread was found waiting for */
    gilx_lock_table locks;
    gilx_stop_site sites[GILX_SITE_KINDS + GILX_SPOTS]; /* by the numbers of sites */
};

/* Return empty sums, for free(), or NULL if memory runs out. */
gilx_free_tracking *gilx_free_tracking_new(const gilx_free_threads *threads);

/* Read the state of the watched thread, then the words on stops for so many ns, and, if a
 * stop goes on, which thread asked for it and which ones are late. Returns the time of
 * the last read. */
int64_t gilx_free_sample_world(gilx_sampler *sampler, int64_t length);

/* Add whether the watched thread was attached, which stands for `weight` ns. */
void gilx_free_count_own(gilx_sampler *sampler, double weight, bool first);

/* Add the last of these samples, which stands for `weight` ns. */
void gilx_free_count_world(gilx_sampler *sampler, double weight, bool first);

/* Read the state of a thread. */
gilx_free_reading gilx_free_read_thread(gilx_sampler *sampler, int place);

/* Return what a thread does by what Linux says of it, and by its state before that was
 * read. GILX_HOLDS_GIL if that changed meanwhile, which means that the activity is
 * unknown. */
gilx_activity gilx_free_activity(gilx_sampler *sampler, int place, const char *text,
                                 gilx_free_reading before);

/* Read the clock of the thread that was asked last, whose time of waiting for a CPU was
 * just read, and return how much of the `whole` ns since it was asked before it spent in
 * an activity: if that needs a CPU, its CPU time, and if not, the time in which it
 * neither ran nor waited for a CPU. If it waits for a lock, with a CPU or without,
 * `waited_for_lock` is the time that was added to those of that lock; otherwise 0. */
double gilx_free_count(gilx_sampler *sampler, int place, gilx_activity activity,
                       double whole, double *waited_for_lock);

/* End that after the stop; does nothing with a GIL. */
void gilx_free_tracking_end(gilx_sampler *sampler);

#endif
