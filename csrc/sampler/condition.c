#define _POSIX_C_SOURCE 200809L

#include "condition.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/threads.h"
#include "linux_threads.h"
#include "thread_activity.h"

enum {
    THREADS = 3,
    WORDS = sizeof(pthread_cond_t) / sizeof(uint32_t),
    TIMEOUT_S = 3600, /* much longer than it takes */
};

/* Longest wait for the threads to sleep, for which each needs a CPU for a moment. */
static const int64_t LONGEST_NS = 200 * 1000 * 1000;

/* A condition variable on which threads wait as CPython's wait for the GIL: up to a time
 * of the monotonic clock. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t condition, changed;
    int64_t tids[THREADS];
    int waiting;
    bool over;
} trial;

static void make_condition(pthread_cond_t *condition) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void wait_until_over(void *argument) {
    trial *one = argument;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TIMEOUT_S;
    pthread_mutex_lock(&one->mutex);
    one->tids[one->waiting++] = gilx_own_tid();
    pthread_cond_signal(&one->changed);
    while (!one->over) {
        (void)pthread_cond_timedwait(&one->condition, &one->mutex, &until);
    }
    pthread_mutex_unlock(&one->mutex);
}

/* Keep the words of a condition variable that may count: those whose upper bits are the
 * number of threads that wait. */
static void keep_counts(const trial *one, uint32_t number, uint32_t flags[WORDS],
                        bool possible[WORDS]) {
    uint32_t words[WORDS];
    memcpy(words, &one->condition, sizeof(words));
    for (int i = 0; i < WORDS; ++i) {
        const uint32_t low = words[i] & ((1U << GILX_CONDITION_FLAGS) - 1);
        possible[i] = possible[i] && words[i] >> GILX_CONDITION_FLAGS == number &&
                      (number == 0 || flags[i] == low);
        flags[i] = low;
    }
}

/* Find out what Linux says of threads that wait. Returns whether that is final. */
static bool read_calls(const trial *one, gilx_condition_layout *layout) {
    const gilx_lock_place place = {(uintptr_t)&one->condition,
                                   (uintptr_t)(&one->condition + 1)};
    const int64_t start = gilx_now_ns();
    layout->calls = layout->addresses = true;
    for (int i = 0; i < THREADS && layout->calls; ++i) {
        const int file = gilx_syscall_open(0, one->tids[i]);
        char text[GILX_SYSCALL_SIZE];
        gilx_activity activity = GILX_DOES_UNKNOWN;
        bool readable = file >= 0;
        while (readable && activity != GILX_AWAITS_GIL && activity != GILX_AWAITS_LOCK) {
            readable = gilx_syscall_read(file, text);
            activity = gilx_activity_of(text, &place);
            if (gilx_now_ns() - start > LONGEST_NS) {
                break;
            }
            gilx_sleep_ns(20 * 1000); /* it may be about to wait */
        }
        if (file >= 0) {
            close(file);
        }
        layout->calls = activity == GILX_AWAITS_GIL || activity == GILX_AWAITS_LOCK;
        layout->addresses = layout->addresses && activity == GILX_AWAITS_GIL;
        if (!layout->calls) {
            layout->addresses = false;
            return !readable;
        }
    }
    return true;
}

/* The layout that was found, if any: once it is KEPT, it does not change. */
enum { NOTHING, BEING_WRITTEN, KEPT };
static atomic_int progress = NOTHING;
static gilx_condition_layout kept;

static void keep(const gilx_condition_layout *layout) {
    int expected = NOTHING;
    if (atomic_compare_exchange_strong(&progress, &expected, BEING_WRITTEN)) {
        kept = *layout;
        atomic_store(&progress, KEPT);
    }
}

gilx_condition_layout gilx_condition_certify(void) {
    if (atomic_load(&progress) == KEPT) {
        return kept;
    }
    gilx_condition_layout layout = {.count = -1};
    trial one = {.waiting = 0};
    pthread_mutex_init(&one.mutex, NULL);
    memset(&one.condition, 0, sizeof(one.condition));
    make_condition(&one.condition);
    make_condition(&one.changed);
    uint32_t flags[WORDS];
    bool possible[WORDS];
    memset(possible, true, sizeof(possible));
    gilx_thread threads[THREADS];
    int started = 0;
    pthread_mutex_lock(&one.mutex);
    keep_counts(&one, 0, flags, possible);
    while (started < THREADS &&
           gilx_thread_start(&threads[started], wait_until_over, &one) == 0) {
        ++started;
        while (one.waiting < started) {
            pthread_cond_wait(&one.changed, &one.mutex);
        }
        /* It gave the mutex back when it had begun to wait. */
        keep_counts(&one, (uint32_t)started, flags, possible);
    }
    pthread_mutex_unlock(&one.mutex);
    const bool complete = started == THREADS;
    const bool final = complete && read_calls(&one, &layout);
    pthread_mutex_lock(&one.mutex);
    one.over = true;
    pthread_cond_broadcast(&one.condition);
    pthread_mutex_unlock(&one.mutex);
    for (int i = 0; i < started; ++i) {
        gilx_thread_join(&threads[i]);
    }
    int found = 0;
    for (int i = 0; i < WORDS && complete; ++i) {
        uint32_t word;
        memcpy(&word, (const char *)&one.condition + sizeof(word) * (size_t)i,
               sizeof(word));
        if (possible[i] && word == flags[i]) { /* none waits any more */
            ++found;
            layout.count = (int)sizeof(word) * i;
            layout.flags = flags[i];
        }
    }
    if (found != 1) {
        layout.count = -1;
    }
    pthread_cond_destroy(&one.changed);
    pthread_cond_destroy(&one.condition);
    pthread_mutex_destroy(&one.mutex);
    if (final) {
        keep(&layout);
    }
    return layout;
}

const void *gilx_condition_count(const gilx_condition_layout *layout,
                                 const void *condition) {
    if (layout->count < 0 || condition == NULL) {
        return NULL;
    }
    const void *count = (const char *)condition + layout->count;
    const uint32_t word =
        atomic_load_explicit((const _Atomic(uint32_t) *)count, memory_order_relaxed);
    const uint32_t low = word & ((1U << GILX_CONDITION_FLAGS) - 1);
    return low == layout->flags && word >> GILX_CONDITION_FLAGS <= GILX_MOST_WAITERS
               ? count
               : NULL;
}
