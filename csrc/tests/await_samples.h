/* Waiting for samples, which are rare on a busy machine, and under valgrind, which runs
 * one thread at a time. */

#ifndef GILX_TESTS_AWAIT_SAMPLES_H
#define GILX_TESTS_AWAIT_SAMPLES_H

#include <pthread.h>

#include "../platform/clock.h"
#include "../sampler/sampler.h"
#include "../sampler/sampler_state.h"

static inline int64_t samples_of(gilx_sampler *sampler) {
    pthread_mutex_lock(&sampler->sums);
    const int64_t count = sampler->totals.wakes;
    pthread_mutex_unlock(&sampler->sums);
    return count;
}

/* Let the threads run for so long, and for longer until there are more samples. */
static inline void await_samples_for(gilx_sampler *sampler, int64_t nanoseconds) {
    enum { SAMPLES = 20 };
    const int64_t before = samples_of(sampler);
    gilx_sleep_ns(nanoseconds);
    while (samples_of(sampler) < before + SAMPLES && !gilx_sampler_lost(sampler)) {
        gilx_sleep_ns(1000 * 1000);
    }
}

#endif
