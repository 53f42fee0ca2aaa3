/* Innermost Python frame of a thread that waits, or all of them, read from another
 * thread. */
#ifndef GILX_SAMPLER_WAITING_FRAME_H
#define GILX_SAMPLER_WAITING_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "layouts.h"
#include "safe_memory.h"
#include "stack_reader.h"

/* Read the innermost frame with Python code of a thread by its thread state. Returns
 * false if it has none, if it can't be read, or if it changed meanwhile. */
bool gilx_waiting_frame(const gilx_stack_layout *layout, gilx_memory *memory,
                        uintptr_t state, gilx_frame *frame);

/* Read the frames with Python code of a thread by its thread state, the innermost one
 * first, `most` at most. Each is read by itself: they are a stack if the thread has run
 * no Python code meanwhile, which the caller finds out. Returns how many there are; sets
 * `complete` if they reach to the outer end. */
int gilx_waiting_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                       uintptr_t state, gilx_frame *frames, int most, bool *complete);

enum { GILX_MOST_STEADY = 64 };

/* Read the frames of a thread that may run Python code meanwhile: those that two readings
 * have in common, from the outer end on, the innermost one first; `most` and
 * GILX_MOST_STEADY at most. Returns how many there are; sets `inner` if there are others
 * that the first one had called and that changed meanwhile. */
int gilx_steady_stack(const gilx_stack_layout *layout, gilx_memory *memory,
                      uintptr_t state, gilx_frame *frames, int most, bool *inner,
                      bool *complete);

#endif
