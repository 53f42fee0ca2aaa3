/* Zeroed memory whose pages are present before they are used.
 *
 * A page that is read before it is written to is a page of zeros that Linux shares. The
 * first write replaces it, for which every CPU that runs the process is interrupted, and
 * in some virtual machines that takes a millisecond each time.
 */
#ifndef GILX_PLATFORM_TOUCHED_MEMORY_H
#define GILX_PLATFORM_TOUCHED_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

enum { GILX_SMALLEST_PAGE = 4096 };

/* Zeroed memory of `size` bytes, for free(), with the pages of the first `touched` bytes
 * present; NULL if memory is short. */
static inline void *gilx_allocate_touched(size_t size, size_t touched) {
    volatile char *const memory = calloc(1, size);
    for (size_t i = 0; memory != NULL && i < touched; i += GILX_SMALLEST_PAGE) {
        memory[i] = 0;
    }
    return (void *)memory;
}

#endif
