/* Copying memory of this process that may be gone: a bad address is an error, not a
 * crash. */
#ifndef GILX_SAMPLER_SAFE_MEMORY_H
#define GILX_SAMPLER_SAFE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Copy `size` bytes; false, with errno set, if any of them can't be read. */
bool gilx_read_memory(const void *from, void *to, size_t size);

#endif
