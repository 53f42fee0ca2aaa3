#include "shared_increment.h"

static void add_unprotected(gilx_cell *cell, int64_t times) {
    for (int64_t i = 0; i < times; ++i) {
        uint64_t seen = atomic_load_explicit(cell, memory_order_relaxed);
        atomic_store_explicit(cell, seen + 1, memory_order_relaxed);
    }
}

static void add_atomically(gilx_cell *cell, int64_t times) {
    for (int64_t i = 0; i < times; ++i) {
        atomic_fetch_add_explicit(cell, 1, memory_order_relaxed);
    }
}

bool gilx_increment(gilx_cell *cell, int64_t times, bool atomic, gilx_control *control) {
    static const int64_t chunk =
        16384; /* at most some 0.3 ms where the line is fought for */
    while (times > 0) {
        int64_t now = times < chunk ? times : chunk;
        if (atomic) {
            add_atomically(cell, now);
        } else {
            add_unprotected(cell, now);
        }
        times -= now;
        if (gilx_should_stop(control)) {
            return false;
        }
    }
    return true;
}
