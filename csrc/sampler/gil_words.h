/* The words of a GIL, and how they are read: from outside, without a lock. Those of
 * another process are copied first, and the copy is read.
 *
 * Pure C11: the sampler needs no more of Python than this.
 */
#ifndef GILX_SAMPLER_GIL_WORDS_H
#define GILX_SAMPLER_GIL_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Where the words are. Untyped, since every version of Python declares them its own way;
 * the sizes are the same in all. */
typedef struct {
    const void *locked;   /* int: 1 while anyone holds the GIL */
    const void *holder;   /* pointer: the thread state that holds it, or held it last */
    const void *switches; /* unsigned long: how often it went to another thread state */
    const void *interval; /* unsigned long: the switch interval, in microseconds */
    int64_t process;      /* the process whose GIL it is; 0: this one */
    uintptr_t original;   /* of another process: the address of the interval there, of
                             which the words are a copy; see gilx_original_words() */
} gilx_gil_words;

/* Return the address of the words, which begin with the interval, in the memory of the
 * process whose GIL it is. */
static inline uintptr_t gilx_original_words(const gilx_gil_words *words) {
    return words->process == 0 ? (uintptr_t)words->interval : words->original;
}

/* Relaxed loads, as CPython's stores are: an order here would not make up for the order
 * that they lack. The words may be of two moments, nanoseconds apart: at a hand-over a
 * read may find the GIL held by the thread that has just released it. */
static inline bool gilx_gil_locked(const gilx_gil_words *words) {
    return atomic_load_explicit((const _Atomic(int) *)words->locked,
                                memory_order_relaxed) == 1;
}

/* To be compared with addresses of thread states, never to be followed: the thread may
 * be gone. It is the thread that holds the GIL only while the GIL is locked. */
static inline uintptr_t gilx_gil_holder(const gilx_gil_words *words) {
    return atomic_load_explicit((const _Atomic(uintptr_t) *)words->holder,
                                memory_order_relaxed);
}

static inline unsigned long gilx_gil_switches(const gilx_gil_words *words) {
    return atomic_load_explicit((const _Atomic(unsigned long) *)words->switches,
                                memory_order_relaxed);
}

#endif
