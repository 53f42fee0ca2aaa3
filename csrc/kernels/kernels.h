/* The contract of the kernels. gilx.kernels.registry lists them, and
 * src/gilx/kernels/NAME.py describes each: its parameters and the order of its
 * operations.
 *
 * The contract of a body:
 *   - it computes items [start, stop) and writes out[start:stop] and nothing else;
 *   - its arguments were checked by the caller: types, shapes, ranges, alignment, and
 *     that out overlaps no input. Array *contents* may change under it, so an index
 *     read from an array is clamped before it is used;
 *   - the order of its floating-point operations is part of its description, so that
 *     every implementation gives the same bits;
 *   - it polls gilx_should_stop() at least once a millisecond of work;
 *   - it knows nothing of Python and keeps no state between calls.
 */
#ifndef GILX_KERNELS_KERNELS_H
#define GILX_KERNELS_KERNELS_H

#include <stdint.h>

#include "polling.h"

/* One argument of a kernel: an array (data, shape) or a number. */
typedef struct {
    void *data;
    int64_t shape[2];
    int64_t integer;
    double real;
} gilx_argument;

/* A kernel's body.
 *
 *   arguments  the inputs in the order of the kernel's parameters, then out
 *   start, stop  the items to compute, 0 <= start <= stop <= items
 *   control    where to ask whether to stop
 *
 * Returns GILX_DONE, GILX_STOPPED, or GILX_NO_MEMORY when scratch space was refused.
 */
typedef int gilx_body(const gilx_argument *arguments, int64_t start, int64_t stop,
                      gilx_control *control);

#endif
