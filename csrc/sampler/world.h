/* Stops of the world: times in which one thread makes all others of its interpreter
 * stop, as the garbage collector of a free-threaded build does.
 */
#ifndef GILX_SAMPLER_WORLD_H
#define GILX_SAMPLER_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "safe_memory.h"

/* The words on stops, as the interpreter has them. */
typedef struct {
    uint8_t mutex;     /* of those who want a stop */
    uint8_t requested; /* whether a stop was asked for, */
    uint8_t stopped;   /* and whether all threads have stopped */
    uint8_t global;    /* whether these are the words of all interpreters */
    uint8_t event, padding[3];
    int64_t countdown;   /* threads that are still to stop */
    uintptr_t requester; /* thread state that asked for it; 0 if none has */
} gilx_world_words;

/* Result of reading the words for a while. */
typedef struct {
    int64_t reads, requested;
    int64_t stopping;    /* reads of these in which some thread had not stopped yet */
    uintptr_t requester; /* that of the last one that was requested */
    bool stopping_now;   /* whether the last read was one of those */
} gilx_world_burst;

/* Bounds of the length of the longest stop. */
typedef struct {
    int64_t least_ns, most_ns;
    int64_t stretch_ns; /* longest time in which each read found a stop */
    int64_t free_ns;    /* last read without a stop, */
    int64_t first_ns;   /* first one with a stop since, or 0, */
    int64_t dense_ns;   /* first of the latest reads that are close together, */
    int64_t read_ns;    /* and the last read */
} gilx_stop_bounds;

/* Bounds of the longest stop in some time, and the longest time in it in which each read
 * found a stop. */
typedef struct {
    int64_t low_ns, high_ns, stretch_ns;
} gilx_stop_length;

/* Read the words at an address until none has changed meanwhile; false if they change all
 * the time. */
bool gilx_world_words_now(uintptr_t address, gilx_world_words *words);

/* Read the words at an address for so many ns. Reads from begin_ns on narrow the bounds.
 * Returns the time of the last read. `memory` is that of another process, or NULL. */
int64_t gilx_world_read(gilx_memory *memory, uintptr_t words, int64_t length,
                        int64_t begin_ns, gilx_stop_bounds *bounds,
                        gilx_world_burst *burst);

/* Note that one stop went on for so many ns up to now. */
void gilx_stop_bounds_least(gilx_stop_bounds *bounds, int64_t length_ns);

/* Return the length of the longest stop that went on at some time since this was called
 * last, up to now. */
gilx_stop_length gilx_stop_bounds_take(gilx_stop_bounds *bounds, int64_t now_ns);

/* End the bounds at the end of a watch. */
void gilx_stop_bounds_end(gilx_stop_bounds *bounds, int64_t begin_ns, int64_t end_ns);

#endif
