/* Adding 1 to a counter that several threads share, with protection and without. */
#ifndef GILX_TEAM_SHARED_INCREMENT_H
#define GILX_TEAM_SHARED_INCREMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "../kernels/polling.h"

/* Where the count is kept. */
typedef _Atomic uint64_t gilx_cell;

/* Add 1 to the cell, `times` times.
 *
 *   atomic   false: load, add, store, as `++` on a plain variable would. Both accesses
 *            are atomic and relaxed, so that it is defined what happens when another
 *            thread comes in between: its addition is lost, and nothing else.
 *            true: one atomic addition, which loses nothing.
 *   control  may stop it early
 *
 * Returns false when it was stopped. */
bool gilx_increment(gilx_cell *cell, int64_t times, bool atomic, gilx_control *control);

#endif
