/* Memory that begins at a multiple of a power of two.
 *
 * Files that include this define _GNU_SOURCE, or _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_PLATFORM_ALIGNED_MEMORY_H
#define GILX_PLATFORM_ALIGNED_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

#if defined(_WIN32)
#include <malloc.h>
#endif

/* Return at least `size` bytes, for gilx_free_aligned; NULL if memory is short. */
static inline void *gilx_allocate_aligned(size_t alignment, size_t size) {
#if defined(_WIN32)
    return _aligned_malloc(size, alignment);
#else
    void *memory;
    return posix_memalign(&memory, alignment, size) == 0 ? memory : NULL;
#endif
}

static inline void gilx_free_aligned(void *memory) {
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
}

#endif
