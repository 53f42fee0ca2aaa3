/* Symbols of programs and libraries in the memory of another process.
 *
 * No file is opened but those of /proc: a program may be in another mount namespace, or
 * deleted.
 */
#ifndef GILX_SAMPLER_ELF_SYMBOLS_H
#define GILX_SAMPLER_ELF_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "safe_memory.h"

/* A file that a process has mapped from its beginning. */
typedef struct {
    uintptr_t start;
    uint64_t device, inode;
} gilx_mapped_file;

/* Return the files that a process has mapped, and their number, -1 with errno set if that
 * can't be read; 0 for this process. free() gives them back. */
int gilx_mapped_files(int64_t process, gilx_mapped_file **files);

/* Return whether one of them is the file of this process that holds an address. */
bool gilx_maps_file_of(const gilx_mapped_file *files, int count, const void *address);

/* Return the address of a symbol that a file exports; 0 if it exports none, or is not
 * a program or library of 64 bits. */
uintptr_t gilx_exported_symbol(gilx_memory *memory, const gilx_mapped_file *file,
                               const char *name);

#endif
