/* Polling, by which a running kernel learns that it should stop.
 *
 * A kernel polls at least once a millisecond of its work, inside long items too, and
 * returns as soon as the answer is yes; what it has written by then is unspecified.
 */
#ifndef GILX_KERNELS_POLLING_H
#define GILX_KERNELS_POLLING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__)
#error "gilx: build without -ffast-math; results must be the same bits everywhere"
#endif

/* What a kernel's body returns. */
enum { GILX_DONE = 0, GILX_STOPPED = 1, GILX_NO_MEMORY = 2 };

typedef struct gilx_control gilx_control;

struct gilx_control {
    /* Set to other than 0 by the thread that waits for the region; NULL if none can. Not
     * a bool, which may hold nothing but 0 and 1, since other processes may share it. */
    const atomic_uchar *stop;
    /* Called at every poll: the caller's chance to look for signals. True means stop.
     * NULL if there is nothing to look for. */
    bool (*tick)(gilx_control *self);
};

/* A kernel's own count of work until its next poll, so that polling costs nothing in
 * the inner loop. `every` is what the kernel does in some 0.3 ms, in its own unit. */
typedef struct {
    gilx_control *control;
    int64_t every, left;
} gilx_poll;

/* Bodies begin a count of their own for each range, and may end before it is due: code
 * that hands out ranges polls once in so many of them. */
enum { GILX_RANGES_BETWEEN_POLLS = 16 };

/* True when the kernel should return now. */
static inline bool gilx_should_stop(gilx_control *control) {
    if (control->stop != NULL &&
        atomic_load_explicit(control->stop, memory_order_relaxed) != 0) {
        return true;
    }
    return control->tick != NULL && control->tick(control);
}

/* Take `work` off the count; true when a poll was due and said stop. */
static inline bool gilx_poll_stops(gilx_poll *poll, int64_t work) {
    poll->left -= work;
    if (poll->left > 0) {
        return false;
    }
    poll->left = poll->every;
    return gilx_should_stop(poll->control);
}

#endif
