/* Innermost Python frame of a thread that waits, read from another thread. */
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

#endif
