/* Condition variables of the C library, on which threads wait for a GIL: what they show
 * of these threads.
 */
#ifndef GILX_SAMPLER_CONDITION_H
#define GILX_SAMPLER_CONDITION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What this C library's condition variables show. */
typedef struct {
    bool calls; /* Linux says of a thread that waits on one that it waits for a lock, */
    bool addresses; /* and an address in it */
    int count;      /* offset of the word that has the number of threads that wait; -1 if
                       there is none */
    uint32_t flags; /* and the lower bits of that word */
} gilx_condition_layout;

/* Find out what condition variables show, on one of our own with a known number of
 * threads that wait on it: none, and then up to three. glibc's count them; musl's do not,
 * and its threads wait on addresses elsewhere. The answer is kept for the next call. */
gilx_condition_layout gilx_condition_certify(void);

/* Return where a condition variable counts the threads that wait on it; NULL if that is
 * not known, or if the word there cannot be such a count. */
const void *gilx_condition_count(const gilx_condition_layout *layout,
                                 const void *condition);

/* Memory of a GIL's lock: a condition variable on which threads wait for it, a mutex, and
 * another of both for forced switches, in this order. */
#define GILX_LOCK_SIZE (2 * (sizeof(pthread_cond_t) + sizeof(pthread_mutex_t)))

enum {
    GILX_CONDITION_FLAGS = 3, /* lower bits of that word, which are not of the number */
    GILX_MOST_WAITERS = 1 << 16,
};

/* Return the number of threads that wait, for a place that is known. */
static inline uint32_t gilx_condition_waiters(const void *count) {
    return atomic_load_explicit((const _Atomic(uint32_t) *)count, memory_order_relaxed) >>
           GILX_CONDITION_FLAGS;
}

#endif
