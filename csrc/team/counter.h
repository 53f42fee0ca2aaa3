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

/* The state that claims change. It may lie in memory that other processes or interpreters
 * share, so its layout is fixed, and all zeros mean that nothing has been claimed. Others
 * may write anything there at any time: no value of it makes a claim leave the range. */
typedef struct {
    _Atomic int64_t claimed; /* how many items, counted from the start */
    char between[GILX_CACHE_LINE - sizeof(int64_t)]; /* claims do not slow down polls */
    atomic_uchar cancelled; /* not 0: stop; polled by kernels, see gilx_control.stop */
    char after[GILX_CACHE_LINE - 1];
} gilx_counter_state;

_Static_assert(sizeof(gilx_counter_state) == 2 * (size_t)GILX_CACHE_LINE,
               "processes agree on the layout");

/* A handle on a counter. Several may have one state; each keeps its own range, which
 * nobody else can change. It must not be moved in memory. */
typedef struct {
    int64_t start, stop, grain; /* items [start, stop), 0 <= start; grain items a claim */
    gilx_counter_state *state;
    char before[GILX_CACHE_LINE]; /* claims must not slow down those who read the above */
    gilx_counter_state own;       /* the state of a counter that shares no other's */
} gilx_counter;

static inline void gilx_counter_init(gilx_counter *counter, int64_t start, int64_t stop,
                                     int64_t grain) {
    counter->start = start;
    counter->stop = stop;
    counter->grain = grain;
    counter->state = &counter->own;
    atomic_init(&counter->own.claimed, 0);
    atomic_init(&counter->own.cancelled, 0);
}

/* Items not yet claimed: never less than 0 nor more than there are. */
static inline int64_t gilx_counter_remaining(const gilx_counter *counter) {
    const int64_t items = counter->stop - counter->start;
    int64_t claimed =
        atomic_load_explicit(&counter->state->claimed, memory_order_relaxed);
    return claimed < 0 || claimed > items ? 0 : items - claimed;
}

static inline void gilx_counter_cancel(gilx_counter *counter) {
    atomic_store_explicit(&counter->state->cancelled, 1, memory_order_relaxed);
}

static inline bool gilx_counter_cancelled(const gilx_counter *counter) {
    return atomic_load_explicit(&counter->state->cancelled, memory_order_relaxed) != 0;
}

/* Claim the next grain as [*start, *stop); false when none is left or the counter was
 * cancelled. A compare-and-swap, not an addition: the claimed items never pass the end,
 * so no number of late claims can make them overflow. */
static inline bool gilx_counter_take(gilx_counter *counter, int64_t *start,
                                     int64_t *stop) {
    const int64_t items = counter->stop - counter->start;
    int64_t claimed =
        atomic_load_explicit(&counter->state->claimed, memory_order_relaxed);
    int64_t end;
    do {
        if (claimed < 0 || claimed >= items || gilx_counter_cancelled(counter)) {
            return false;
        }
        int64_t left = items - claimed;
        end = claimed + (left < counter->grain ? left : counter->grain);
        /* Relaxed is enough: a claim hands out a number and publishes no data. */
    } while (!atomic_compare_exchange_weak_explicit(&counter->state->claimed, &claimed,
                                                    end, memory_order_relaxed,
                                                    memory_order_relaxed));
    *start = counter->start + claimed;
    *stop = counter->start + end;
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
 * The call marks the range in hand as finished. */
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
