/* Memory of this process, read at addresses that may be wrong: a read fails, it does not
 * crash. Linux offers several ways; containers and seccomp filters forbid some of them.
 */
#ifndef GILX_SAMPLER_SAFE_MEMORY_H
#define GILX_SAMPLER_SAFE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* In the order in which they are tried, the quickest first. */
typedef enum {
    GILX_MEMORY_FILE,      /* the system copies it to a file in memory that is mapped */
    GILX_PIPE,             /* through a pipe */
    GILX_PROCESS_VM_READV, /* process_vm_readv(2) of this process */
    GILX_PROC_SELF_MEM,    /* pread(2) of /proc/self/mem */
    GILX_MEMORY_WAYS,
} gilx_memory_way;

typedef struct {
    gilx_memory_way way; /* GILX_MEMORY_WAYS if it is closed */
    int file, other;     /* -1 if there is none */
    void *map;
} gilx_memory;

/* Open memory for reading by one thread at a time, by the first way that works, or by the
 * one that is named (see gilx_memory_names), if name is not NULL. A way is certified: it
 * reads known bytes as they are, and fails at an address that is not mapped. Returns
 * false, with errno set and the memory closed, if none works or there is none so named.
 */
bool gilx_memory_open(gilx_memory *memory, const char *name);

/* Copy at most GILX_MOST_READ bytes; whether all of them could be read. */
bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size);

void gilx_memory_close(gilx_memory *memory);

/* Move an open file to a descriptor with a high number, and return that. A program may
 * close all descriptors that it might have inherited, and open files in their place: the
 * sampler must not write to those, or close them. The descriptor stays if there is none
 * with a high number, or if it is negative.
 */
int gilx_high_descriptor(int descriptor);

enum { GILX_MOST_READ = 4096 };

/* What the ways are called, for people. */
extern const char *const gilx_memory_names[GILX_MEMORY_WAYS];

#endif
