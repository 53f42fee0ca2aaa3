/* Memory of this process, or of another one, read at addresses that may be wrong: a read
 * fails, it does not crash. Linux offers several ways; containers and seccomp filters
 * forbid some of them.
 */
#ifndef GILX_SAMPLER_SAFE_MEMORY_H
#define GILX_SAMPLER_SAFE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In the order in which they are tried, the quickest first. */
typedef enum {
    GILX_MEMORY_FILE,      /* the system copies it to a file in memory that is mapped */
    GILX_PIPE,             /* through a pipe */
    GILX_PROCESS_VM_READV, /* process_vm_readv(2) of this process */
    GILX_PROC_SELF_MEM,    /* pread(2) of /proc/self/mem, or of another process's */
    GILX_MEMORY_WAYS,
} gilx_memory_way;

typedef struct {
    gilx_memory_way way; /* GILX_MEMORY_WAYS if it is closed */
    int file, other;     /* -1 if there is none */
    void *map;
    int64_t process; /* whose memory it is; 0: this process's */
    /* Of another process's: whether no other thread can put another file in the place of
     * `file`, and what `file` is known by. */
    bool private_file;
    dev_t device;
    ino_t inode;
} gilx_memory;

typedef struct {
    uintptr_t from;
    size_t size;
} gilx_range;

/* Of one call. */
enum { GILX_MOST_RANGES = 256, GILX_MOST_COPIED = 1 << 16 };

/* Open memory for reading by one thread at a time, by the first way that works, or by the
 * one that is named (see gilx_memory_names), if name is not NULL. A way is certified: it
 * reads known bytes as they are, and fails at an address that is not mapped, also in the
 * middle of several ranges. Returns false, with errno set and the memory closed, if none
 * works or there is none so named.
 */
bool gilx_memory_open(gilx_memory *memory, const char *name);

/* Open the memory of another process. Only the last two ways read it; what they read is
 * to be compared with something known, since nothing is known here. Returns false, with
 * errno set and the memory closed: EACCES or EPERM if that is forbidden.
 *
 * A single range is always read from the memory that the process had at this time. When
 * it ends or executes another program, gilx_memory_read() fails from then on, also if
 * another process has its id. */
bool gilx_memory_open_process(gilx_memory *memory, int64_t process);

/* Copy ranges of memory to `to`, one after another, in their order and, by all ways but
 * the last, in one system call: a range that is named twice is read at two moments.
 *
 * Return how many bytes arrived, with errno set if these are not all of them: those of
 * the first ranges, up to one that can't be read, which may be there in part. Nothing is
 * copied, and 0 returned, if there are more ranges or bytes than the limits. A range of
 * no bytes can be read wherever it is. */
size_t gilx_memory_copy(gilx_memory *memory, const gilx_range *ranges, int count,
                        void *to);

/* Copy at most GILX_MOST_READ bytes; whether all of them could be read. */
bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size);

void gilx_memory_close(gilx_memory *memory);

/* Open memory anew for the calling thread, by the same way as `given`, which stays open,
 * if that is safe: a way that writes to a file is only where no other thread can put
 * another file in its place, so in a private table of files. Else one is chosen that
 * writes to none. Returns false, with errno set and the memory closed, if there is none.
 *
 * Another process's memory is not opened again, since another process might have its id
 * by now: it has the file of `given`, which the private table must have kept. */
bool gilx_memory_reopen(gilx_memory *memory, const gilx_memory *given,
                        bool private_files);

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
