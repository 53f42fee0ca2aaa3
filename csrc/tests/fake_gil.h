/* What the drivers of the sampler have in common: checks, and a GIL that is only words.
 *
 * Files that include this define DRIVER as their name.
 */
#ifndef GILX_TESTS_FAKE_GIL_H
#define GILX_TESTS_FAKE_GIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../sampler/gil_words.h"
#include "../sampler/layouts.h"
#include "../sampler/safe_memory.h"
#include "fake_stack.h"

enum { FIRST_VERSION = 11, LAST_VERSION = 15 };

static inline void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr, DRIVER ": not so: %s\n", what);
        exit(1);
    }
}

/* The GIL's words, as CPython has them, and a lock that makes them behave as a GIL's do.
 */
typedef struct {
    struct {
        unsigned long interval;
        _Atomic uintptr_t holder;
        _Atomic int locked;
        _Atomic unsigned long switches;
    } words;
    pthread_mutex_t lock;
    atomic_bool stop;
} fake_gil;

_Static_assert(sizeof(((fake_gil *)0)->words) == sizeof(gilx_gil_struct),
               "they are as there");

static inline gilx_gil_words words_of(const fake_gil *gil) {
    return (gilx_gil_words){.interval = &gil->words.interval,
                            .locked = &gil->words.locked,
                            .holder = &gil->words.holder,
                            .switches = &gil->words.switches};
}

static inline void take(fake_gil *gil, const fake_stack *stack) {
    const uintptr_t state = (uintptr_t)stack->state;
    atomic_store_explicit(&gil->words.locked, 1, memory_order_relaxed);
    if (atomic_load_explicit(&gil->words.holder, memory_order_relaxed) != state) {
        atomic_store_explicit(&gil->words.holder, state, memory_order_relaxed);
        atomic_fetch_add_explicit(&gil->words.switches, 1, memory_order_relaxed);
    }
}

static inline void release(fake_gil *gil) {
    atomic_store_explicit(&gil->words.locked, 0, memory_order_relaxed);
}

static inline gilx_memory *opened(gilx_memory *memory) {
    expect(gilx_memory_open(memory, NULL), "memory can be read");
    return memory;
}

static inline const gilx_stack_layout *layout_of(int version) {
    return gilx_stack_layout_of(
        gilx_layout_of(0x03000000U | (uint64_t)version << 16 | 0xf0), false);
}

#endif
