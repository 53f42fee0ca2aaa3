/* The work counter: callers claim the next grain of a region without a lock.
 *
 * Pure C11, so that C and Cython kernels and native threads claim from it alike.
 */
#ifndef GILX_TEAM_COUNTER_H
#define GILX_TEAM_COUNTER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GILX_CACHE_LINE = 64 };

typedef struct {
    int64_t start, stop, grain;   /* fixed: items [start, stop), grain items a claim */
    char before[GILX_CACHE_LINE]; /* claims must not slow down those who read the above */
    _Atomic int64_t next;         /* the first item not yet claimed */
    char after[GILX_CACHE_LINE];
    atomic_bool cancelled; /* polled by kernels: see gilx_control.stop */
} gilx_counter;

static inline void gilx_counter_init(gilx_counter *counter, int64_t start, int64_t stop,
                                     int64_t grain) {
    counter->start = start;
    counter->stop = stop;
    counter->grain = grain;
    atomic_init(&counter->next, start);
    atomic_init(&counter->cancelled, false);
}

/* Claim the next grain as [*start, *stop); false when none is left or the counter was
 * cancelled. A compare-and-swap, not an addition: `next` never passes the end, so no
 * number of late claims can make it overflow. */
static inline bool gilx_counter_take(gilx_counter *counter, int64_t *start,
                                     int64_t *stop) {
    int64_t next = atomic_load_explicit(&counter->next, memory_order_relaxed);
    int64_t end;
    do {
        if (next >= counter->stop ||
            atomic_load_explicit(&counter->cancelled, memory_order_relaxed)) {
            return false;
        }
        int64_t left = counter->stop - next;
        end = next + (left < counter->grain ? left : counter->grain);
        /* Relaxed is enough: a claim hands out a number and publishes no data. */
    } while (!atomic_compare_exchange_weak_explicit(
        &counter->next, &next, end, memory_order_relaxed, memory_order_relaxed));
    *start = next;
    *stop = end;
    return true;
}

/* One call's share of a region: either its own range, once, or whatever it claims. */
typedef struct {
    gilx_counter *counter; /* NULL: the range below is the whole share */
    int64_t start, stop;   /* the range in hand */
    int64_t done;          /* items of ranges that were finished */
    bool started;
} gilx_share;

/* Move on to the share's next range, [share->start, share->stop); false at the end.
 * Asking for the next one says that the one in hand is finished. */
static inline bool gilx_share_next(gilx_share *share) {
    if (share->started) {
        share->done += share->stop - share->start;
        if (share->counter == NULL) {
            share->start = share->stop;
            return false;
        }
    }
    share->started = true;
    if (share->counter == NULL) {
        return true;
    }
    if (!gilx_counter_take(share->counter, &share->start, &share->stop)) {
        share->start = share->stop;
        return false;
    }
    return true;
}

#endif
