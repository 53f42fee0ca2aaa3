/* Event loops that run, and how often each has gone into its selector and come back.
 *
 * The thread of a loop counts its own turns; the thread of a monitor reads them.
 */
#ifndef GILX_SAMPLER_LOOP_TABLE_H
#define GILX_SAMPLER_LOOP_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { GILX_LOOPS = 256 }; /* that run at once */

/* A place for a loop. `turns` never decreases, also from one loop to the next in this
 * place: two different times outside the selector never have the same number. */
typedef struct {
    _Atomic int64_t tid;    /* native id of the thread that runs it; 0: the place is free;
                               below 0: it is being taken */
    _Atomic uint64_t turns; /* odd while it waits in its selector */
} gilx_loop;

typedef struct {
    atomic_int used; /* places that ever had a loop: the first ones */
    gilx_loop loops[GILX_LOOPS];
} gilx_loop_table;

static inline void gilx_loop_waits(gilx_loop *loop) {
    const uint64_t turns = atomic_load_explicit(&loop->turns, memory_order_relaxed);
    atomic_store_explicit(&loop->turns, turns | 1, memory_order_release);
}

static inline void gilx_loop_runs(gilx_loop *loop) {
    const uint64_t turns = atomic_load_explicit(&loop->turns, memory_order_relaxed);
    atomic_store_explicit(&loop->turns, (turns | 1) + 1, memory_order_release);
}

/* Return the place for a loop that a thread begins to run, or -1 if there is none.
 * Several threads may do so at once. */
static inline int gilx_loop_begin(gilx_loop_table *table, int64_t tid, bool waits) {
    for (int i = 0; i < GILX_LOOPS; ++i) {
        gilx_loop *loop = &table->loops[i];
        int64_t free = 0;
        if (atomic_compare_exchange_strong(&loop->tid, &free, -1)) {
            gilx_loop_runs(loop);
            if (waits) {
                gilx_loop_waits(loop);
            }
            int used = atomic_load(&table->used);
            while (used <= i &&
                   !atomic_compare_exchange_weak(&table->used, &used, i + 1)) {
            }
            atomic_store(&loop->tid, tid);
            return i;
        }
    }
    return -1;
}

static inline void gilx_loop_end(gilx_loop_table *table, int place) {
    atomic_store(&table->loops[place].tid, 0);
}

/* Read whether a place has a loop outside its selector; if so, set which thread runs it,
 * and the turn. */
static inline bool gilx_loop_is_out(const gilx_loop *loop, int64_t *tid, uint64_t *turn) {
    *tid = atomic_load(&loop->tid);
    *turn = atomic_load(&loop->turns);
    return *tid > 0 && *turn % 2 == 0 && atomic_load(&loop->tid) == *tid;
}

#endif
