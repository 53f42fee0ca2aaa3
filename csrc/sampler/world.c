#define _POSIX_C_SOURCE 200809L

#include "world.h"

#include <stdatomic.h>
#include <stddef.h>

#include "../platform/clock.h"

/* A stop that ends, and another one, take longer than this: between two reads that are
 * closer the stop went on. */
enum { UNSEEN_START_NS = 150 };

static int64_t greater_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static bool flag_at(uintptr_t words, size_t offset) {
    return atomic_load_explicit((const _Atomic(uint8_t) *)(words + offset),
                                memory_order_relaxed) != 0;
}

static void bound_stops(gilx_stop_bounds *bounds, int64_t now, bool requested) {
    if (!requested) {
        bounds->most_ns = greater_of(bounds->most_ns, now - bounds->free_ns);
        bounds->free_ns = now;
        bounds->first_ns = bounds->dense_ns = 0;
    } else {
        if (bounds->first_ns == 0) {
            bounds->first_ns = now;
        }
        if (bounds->dense_ns == 0 || now - bounds->read_ns > UNSEEN_START_NS) {
            bounds->dense_ns = now;
        }
        bounds->least_ns = greater_of(bounds->least_ns, now - bounds->dense_ns);
        bounds->stretch_ns = greater_of(bounds->stretch_ns, now - bounds->first_ns);
    }
    bounds->read_ns = now;
}

static gilx_world_words read_words(uintptr_t words) {
    return (gilx_world_words){
        .requested = flag_at(words, offsetof(gilx_world_words, requested)),
        .stopped = flag_at(words, offsetof(gilx_world_words, stopped)),
        .requester = atomic_load(
            (const _Atomic(uintptr_t) *)(words + offsetof(gilx_world_words, requester))),
    };
}

/* Copy the words of another process, or those of this one. */
static bool copy_words(gilx_memory *memory, uintptr_t address, gilx_world_words *words) {
    if (memory != NULL) {
        return gilx_memory_read(memory, (const void *)address, words, sizeof(*words));
    }
    *words = read_words(address);
    return true;
}

int64_t gilx_world_read(gilx_memory *memory, uintptr_t address, int64_t length,
                        int64_t begin_ns, gilx_stop_bounds *bounds,
                        gilx_world_burst *burst) {
    *burst = (gilx_world_burst){.reads = 0};
    const int64_t start = gilx_now_ns();
    int64_t now = start;
    if (bounds->free_ns < begin_ns && start >= begin_ns) {
        bounds->free_ns = bounds->read_ns = begin_ns;
    }
    do {
        gilx_world_words words;
        if (!copy_words(memory, address, &words)) {
            return now;
        }
        const bool requested = words.requested != 0, stopped = words.stopped != 0;
        const uintptr_t requester = words.requester;
        now = gilx_now_ns();
        ++burst->reads;
        burst->requested += requested;
        burst->stopping_now = requested && !stopped;
        burst->stopping += burst->stopping_now;
        if (requested && requester != 0) {
            burst->requester = requester;
        }
        if (now >= begin_ns) {
            bound_stops(bounds, now, requested);
        }
    } while (now - start < length);
    return now;
}

bool gilx_world_words_now(uintptr_t address, gilx_world_words *words) {
    enum { TRIES = 4 };
    *words = read_words(address);
    for (int i = 0; i < TRIES; ++i) {
        const gilx_world_words before = *words;
        *words = read_words(address);
        if (words->requested == before.requested && words->stopped == before.stopped &&
            words->requester == before.requester) {
            return true;
        }
    }
    return false;
}

void gilx_stop_bounds_least(gilx_stop_bounds *bounds, int64_t length_ns) {
    bounds->least_ns = greater_of(bounds->least_ns, length_ns);
    bounds->stretch_ns = greater_of(bounds->stretch_ns, length_ns);
}

gilx_stop_length gilx_stop_bounds_take(gilx_stop_bounds *bounds, int64_t now_ns) {
    /* No stop is longer than the time since a read found none. */
    const int64_t most = greater_of(bounds->most_ns, now_ns - bounds->free_ns);
    const gilx_stop_length length = {bounds->least_ns, most, bounds->stretch_ns};
    bounds->least_ns = bounds->most_ns = bounds->stretch_ns = 0;
    return length;
}

void gilx_stop_bounds_end(gilx_stop_bounds *bounds, int64_t begin_ns, int64_t end_ns) {
    const int64_t from = greater_of(bounds->free_ns, begin_ns);
    bounds->most_ns = greater_of(bounds->most_ns, end_ns - from);
}
