/* The threads of this process that a watch knows, by their native ids.
 *
 * Addresses of thread states are used again when threads end, and a thread may have
 * several thread states, one for each interpreter: a thread is known by its native id. So
 * is each of several threads that had the same one after another, if the sampler finds
 * that it was started at another time.
 * All memory is reserved from the start.
 */
#ifndef GILX_SAMPLER_THREAD_TABLE_H
#define GILX_SAMPLER_THREAD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "thread_activity.h"

enum {
    GILX_THREADS = 1 << 15,        /* capacity of the table */
    GILX_THREADS_LISTED = 1 << 12, /* of that, for threads added before they held */
    GILX_THREADS_KEPT = 1 << 10,   /* from so many on, a monitor drops those that ended */
    GILX_UNKNOWN_THREAD = 0xffff,  /* returned for a thread that is not in the table */
};

typedef struct {
    int64_t number;    /* among all threads that were ever added, from 0 */
    int64_t tid;       /* native id */
    int64_t started;   /* when it was started, see gilx_start_of(); 0 if not known */
    uintptr_t state;   /* address of a thread state of its, 0 if none is known, */
    uint64_t state_id; /* and the id of that */
    bool ended;        /* whether its CPU clock has gone, or it is a sampler's */
    bool named;      /* whether its name was read when it had been there for some time */
    int64_t cpu_ns;  /* its CPU clock */
    int64_t read_ns; /* and when that was read */
    int64_t polled;  /* number of the sample in which it was read last */
    int64_t active;  /* number of the sample that last found it on a CPU or holding, */
    int64_t asked;   /* and of that in which it was last asked what it does */
    gilx_thread_activities does;
    int syscall, schedstat; /* see gilx_syscall_open() and gilx_schedstat_open(); -1 if it
                               is not kept open */
} gilx_watched_thread;

typedef struct {
    int64_t added; /* threads, in all */
    int count;
    int listed; /* how many of them were never seen holding when they were added */
    uint16_t slots[2 * GILX_THREADS]; /* hash of native ids: place + 1, or 0; */
    bool forgotten[2 * GILX_THREADS]; /* whether that thread has its id no longer */
    gilx_watched_thread threads[GILX_THREADS];
} gilx_thread_table;

/* Return the place of a thread, GILX_UNKNOWN_THREAD if it is not in the table. */
int gilx_thread_place(const gilx_thread_table *table, int64_t tid);

/* Forget which thread has a native id, which another one has now; its place is kept. */
void gilx_thread_forget(gilx_thread_table *table, int64_t tid);

/* Return the place of a thread, which is added if it is not in the table and there is
 * capacity for it, else GILX_UNKNOWN_THREAD. `holds`: whether it was seen holding. */
int gilx_thread_add(gilx_thread_table *table, int64_t tid, bool holds);

/* Take threads out of the table and move the others to lower places, in the same order.
 * `places` has a value other than GILX_UNKNOWN_THREAD for each thread that stays, by its
 * place, and is set to the new places. */
void gilx_thread_table_shrink(gilx_thread_table *table, uint16_t places[GILX_THREADS]);

#endif
