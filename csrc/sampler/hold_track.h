/* Length of the hold of a GIL that goes on, and of the longest one, followed from sample
 * to sample.
 */
#ifndef GILX_SAMPLER_HOLD_TRACK_H
#define GILX_SAMPLER_HOLD_TRACK_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the holder's stack is as it was at the sample before. */
typedef enum { GILX_STANDS_UNKNOWN, GILX_STANDS, GILX_MOVED } gilx_standing;

/* A GIL as one sample found it. */
typedef struct {
    int64_t at_ns;
    bool held;
    uintptr_t holder;
    unsigned long switches;
    bool awaited; /* whether a thread waits for it */
    gilx_standing stands;
} gilx_hold_sample;

/* Bounds of a length, in ns. */
typedef struct {
    int64_t low, high;
} gilx_hold_length;

typedef struct {
    gilx_hold_sample last;
    int64_t first_ns;  /* of the samples of the hold that goes on; */
    int64_t before_ns; /* the last time at which it had not begun */
    bool awaited;      /* whether a thread was seen to wait for its end */
    gilx_hold_length longest;
} gilx_hold_track;

/* Holds after a time. */
gilx_hold_track gilx_hold_track_from(int64_t begin_ns);

/* Return whether the hold of the last sample goes on in another one that has all but
 * `stands`: 1, 0 if not, -1 if `stands` decides. A thread that waits gets the GIL when it
 * is released, which counts as a switch. Without one, the holder may have released it and
 * taken it again. */
int gilx_hold_goes_on(const gilx_hold_track *track, const gilx_hold_sample *sample);

/* Add a sample. */
void gilx_hold_track_add(gilx_hold_track *track, const gilx_hold_sample *sample);

/* Return the longest hold that went on at some time since the last call, and begin anew.
 * Holds between two samples are as long as the time between them, at most. */
gilx_hold_length gilx_hold_track_take(gilx_hold_track *track, int64_t now);

#endif
