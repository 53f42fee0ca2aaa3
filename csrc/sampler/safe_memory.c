#define _GNU_SOURCE /* for process_vm_readv, memfd_create, pipe2 */

#include "safe_memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

const char *const gilx_memory_names[GILX_MEMORY_WAYS] = {
    [GILX_MEMORY_FILE] = "memory file",
    [GILX_PIPE] = "pipe",
    [GILX_PROCESS_VM_READV] = "process_vm_readv",
    [GILX_PROC_SELF_MEM] = "/proc/self/mem",
};

#if defined(__linux__)

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* since Linux 6.3, which logs files without it */
#endif

/* Programs have no memory from here on, unless they ask for it. Linux refuses a call as a
 * whole, without a look at the other ranges, if one of them lies there. */
#if defined(__x86_64__)
static const uintptr_t USER_END = 0x7ffffffff000;
#else
static const uintptr_t USER_END = UINTPTR_MAX / 2 + 1;
#endif

int gilx_high_descriptor(int descriptor) {
    enum {
        MOST = 1024, /* the usual limit; numbers beyond it take memory of Linux */
        RESERVED = 128,
    };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < 2 * RESERVED) {
        return descriptor;
    }
    const int most = limit.rlim_cur < MOST ? (int)limit.rlim_cur : MOST;
    const int high = fcntl(descriptor, F_DUPFD_CLOEXEC, most - RESERVED);
    if (high < 0) {
        return descriptor;
    }
    close(descriptor);
    return high;
}

/* System calls are made by number: sanitizers take the functions of the C library for
 * accesses of the program's own, and report memory that may well be freed by now. */

static int open_file(gilx_memory *memory) {
    const char *name = "gilx";
    long file = syscall(SYS_memfd_create, name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (file < 0 && errno == EINVAL) {
        file = syscall(SYS_memfd_create, name, MFD_CLOEXEC);
    }
    if (file < 0) {
        return -1;
    }
    memory->file = gilx_high_descriptor((int)file);
    if (ftruncate(memory->file, GILX_MOST_COPIED) != 0) {
        return -1;
    }
    /* Its pages are made when they are used: to make all of them takes longer than all of
     * the rest. */
    void *map = mmap(NULL, GILX_MOST_COPIED, PROT_READ, MAP_SHARED, memory->file, 0);
    if (map == MAP_FAILED) {
        return -1;
    }
    memory->map = map;
    return 0;
}

static int open_pipe(gilx_memory *memory) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return -1;
    }
    memory->file = gilx_high_descriptor(ends[0]);
    memory->other = gilx_high_descriptor(ends[1]);
    return 0;
}

static int open_way(gilx_memory *memory) {
    switch (memory->way) {
    case GILX_MEMORY_FILE:
        return open_file(memory);
    case GILX_PIPE:
        return open_pipe(memory);
    case GILX_PROC_SELF_MEM:
        memory->file = gilx_high_descriptor(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
        return memory->file < 0 ? -1 : 0;
    case GILX_PROCESS_VM_READV:
    case GILX_MEMORY_WAYS:
        break;
    }
    return 0;
}

/* Whether a file is still this process's memory, and so was before: the program may have
 * closed it and opened another one with its number. Sets errno if it is not. */
static bool is_own_memory(int file) {
    static const char KNOWN[] = "gilx: memory of this process";
    char copy[sizeof(KNOWN)] = {0};
    const long got = syscall(SYS_pread64, file, copy, sizeof(copy), (off_t)KNOWN);
    const bool same =
        got == (long)sizeof(KNOWN) && memcmp(copy, KNOWN, sizeof(KNOWN)) == 0;
    errno = same ? errno : EBADF;
    return same;
}

/* The same of a file of any kind of memory. That of another process is known by its
 * number, which no other file has while it is open. */
static bool is_right_file(const gilx_memory *memory) {
    struct stat status;
    if (memory->process == 0) {
        return is_own_memory(memory->file);
    }
    if (memory->private_file) {
        return true;
    }
    const bool same = fstat(memory->file, &status) == 0 &&
                      status.st_dev == memory->device && status.st_ino == memory->inode;
    errno = same ? errno : EBADF;
    return same;
}

/* Copy ranges, `size` bytes in all, in one system call. Returns how many bytes arrived;
 * at most 0, with errno set, if that is none. */
static long copy_at_once(gilx_memory *memory, const struct iovec *ranges, long count,
                         char *to, size_t size) {
    switch (memory->way) {
    case GILX_MEMORY_FILE: {
        /* For one range, pwritev takes a tenth of a microsecond more. */
        const off_t start = 0;
        const long got = count == 1
                             ? syscall(SYS_pwrite64, memory->file, ranges->iov_base,
                                       ranges->iov_len, start)
                             : syscall(SYS_pwritev, memory->file, ranges, count, 0L, 0L);
        if (got > 0) {
            memcpy(to, memory->map, (size_t)got);
        }
        return got;
    }
    case GILX_PIPE: {
        /* What was written is read at once, so that the pipe is always empty here. */
        const long written = syscall(SYS_writev, memory->other, ranges, count);
        return written > 0 ? syscall(SYS_read, memory->file, to, (size_t)written)
                           : written;
    }
    case GILX_PROCESS_VM_READV: {
        const struct iovec local = {.iov_base = to, .iov_len = size};
        const long process = memory->process == 0 ? (long)getpid() : memory->process;
        return syscall(SYS_process_vm_readv, process, &local, 1UL, ranges,
                       (unsigned long)count, 0UL);
    }
    case GILX_PROC_SELF_MEM: { /* the first range alone */
        const long got = syscall(SYS_pread64, memory->file, to, ranges->iov_len,
                                 (off_t)ranges->iov_base);
        return got < 0 || is_right_file(memory) ? got : -1;
    }
    case GILX_MEMORY_WAYS:
        break;
    }
    errno = EBADF;
    return -1;
}

size_t gilx_memory_copy(gilx_memory *memory, const gilx_range *ranges, int count,
                        void *to) {
    struct iovec left[GILX_MOST_RANGES];
    long first = 0, end = 0; /* of what is left */
    size_t asked = 0, size = 0, done = 0;
    int error = 0;
    if (count > GILX_MOST_RANGES) {
        errno = EINVAL;
        return 0;
    }
    for (int i = 0; i < count; ++i) {
        const uintptr_t from = ranges[i].from;
        const size_t bytes = ranges[i].size;
        if (bytes > GILX_MOST_COPIED - asked) {
            errno = EINVAL;
            return 0;
        }
        asked += bytes;
        if (bytes == 0 || error != 0) {
            continue;
        }
        if (from > USER_END - bytes) {
            error = EFAULT;
            continue;
        }
        left[end++] = (struct iovec){.iov_base = (void *)from, .iov_len = bytes};
        size += bytes;
    }
    bool one_by_one = memory->way == GILX_PROC_SELF_MEM;
    while (first < end) {
        const size_t tried = one_by_one ? left[first].iov_len : size - done;
        const long got = copy_at_once(memory, &left[first], one_by_one ? 1 : end - first,
                                      (char *)to + done, tried);
        if (got <= 0 && !one_by_one && end - first > 1) {
            one_by_one = true; /* the one to blame may be a later one */
            continue;
        }
        if (got <= 0) {
            error = got < 0 ? errno : EFAULT;
            break;
        }
        done += (size_t)got;
        if ((size_t)got < tried && memory->way != GILX_PIPE) {
            error = EFAULT;
            break;
        }
        /* A pipe may take less than all. */
        size_t passed = (size_t)got;
        for (; first < end && passed >= left[first].iov_len; ++first) {
            passed -= left[first].iov_len;
        }
        if (passed > 0) {
            left[first].iov_base = (char *)left[first].iov_base + passed;
            left[first].iov_len -= passed;
        }
    }
    if (error != 0) {
        errno = error;
    }
    return done;
}

/* Read from the file of another process's memory, which stays that of the program that it
 * executed when it was opened. There is nothing to be read after that. */
static bool read_file(const gilx_memory *memory, uintptr_t from, void *to, size_t size) {
    errno = 0;
    const long got = from > USER_END - size
                         ? -1
                         : syscall(SYS_pread64, memory->file, to, size, (off_t)from);
    if (got >= 0 && !is_right_file(memory)) {
        return false;
    }
    if (got == 0 && size > 0) {
        errno = ESRCH;
    } else if (got != (long)size && errno == 0) {
        errno = EFAULT;
    }
    return got == (long)size;
}

bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size) {
    const gilx_range range = {.from = (uintptr_t)from, .size = size};
    if (size > GILX_MOST_READ) {
        errno = EFAULT;
        return false;
    }
    if (memory->process != 0 && memory->file >= 0) {
        return read_file(memory, range.from, to, size);
    }
    return gilx_memory_copy(memory, &range, 1, to) == size;
}

void gilx_memory_close(gilx_memory *memory) {
    const int error = errno;
    if (memory->map != NULL) {
        munmap(memory->map, GILX_MOST_COPIED);
    }
    const bool certain = memory->process == 0 && memory->way != GILX_PROC_SELF_MEM;
    if (memory->file >= 0 && (certain || is_right_file(memory))) {
        close(memory->file);
    }
    if (memory->other >= 0) {
        close(memory->other);
    }
    *memory = (gilx_memory){.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
    errno = error;
}

enum { PART = 32, PARTS = 2 }; /* of the bytes that are known */

/* Whether ranges are read as they are, one after another. */
static bool reads_known(gilx_memory *memory, const unsigned char *known) {
    static const int order[] = {1, 0, 0, 1};
    enum { RANGES = sizeof(order) / sizeof(*order) };
    unsigned char copy[RANGES * PART] = {0};
    gilx_range ranges[RANGES];
    for (int i = 0; i < RANGES; ++i) {
        ranges[i] = (gilx_range){(uintptr_t)known + (uintptr_t)(order[i] * PART), PART};
    }
    if (gilx_memory_copy(memory, ranges, RANGES, copy) != sizeof(copy)) {
        return false;
    }
    for (int i = 0; i < RANGES; ++i) {
        if (memcmp(&copy[i * PART], &known[order[i] * PART], PART) != 0) {
            errno = EIO;
            return false;
        }
    }
    return true;
}

/* Whether reading stops where nothing is mapped, as nothing ever is at 0. */
static bool stops_where_nothing_is(gilx_memory *memory, const unsigned char *known) {
    enum { SIZE = PART * PARTS };
    const uintptr_t good = (uintptr_t)known;
    const gilx_range ranges[] = {{good, SIZE}, {0, PART}, {good, PART}};
    unsigned char copy[SIZE + 2 * PART] = {0};
    if (gilx_memory_copy(memory, ranges, 3, copy) != SIZE ||
        memcmp(copy, known, SIZE) != 0 ||
        gilx_memory_copy(memory, &ranges[1], 2, copy) != 0) {
        errno = EIO;
        return false;
    }
    return true;
}

/* Whether a way does what is said of it. A failure must leave nothing behind, either. */
static bool certified(gilx_memory *memory) {
    unsigned char known[PART * PARTS];
    for (size_t i = 0; i < sizeof(known); ++i) {
        known[i] = (unsigned char)(i * 37 + 11);
    }
    return reads_known(memory, known) && stops_where_nothing_is(memory, known) &&
           reads_known(memory, known);
}

bool gilx_memory_open(gilx_memory *memory, const char *name) {
    int error = EINVAL;
    for (int way = 0; way < GILX_MEMORY_WAYS; ++way) {
        if (name != NULL && strcmp(name, gilx_memory_names[way]) != 0) {
            continue;
        }
        *memory = (gilx_memory){.way = (gilx_memory_way)way, .file = -1, .other = -1};
        if (open_way(memory) == 0 && certified(memory)) {
            return true;
        }
        error = errno;
        gilx_memory_close(memory);
    }
    *memory = (gilx_memory){.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
    errno = error;
    return false;
}

bool gilx_memory_open_process(gilx_memory *memory, int64_t process) {
    char path[32];
    (void)snprintf(path, sizeof(path), "/proc/%lld/mem", (long long)process);
    *memory = (gilx_memory){
        .way = GILX_PROCESS_VM_READV, .file = -1, .other = -1, .process = process};
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) {
        const int error = errno;
        if (file >= 0) {
            close(file);
        }
        gilx_memory_close(memory);
        errno = error;
        return false;
    }
    memory->file = gilx_high_descriptor(file);
    memory->device = status.st_dev;
    memory->inode = status.st_ino;
    /* Nothing is ever mapped at 0: another answer than that is about all reads. */
    unsigned char byte;
    const gilx_range nowhere = {0, sizeof(byte)};
    if (gilx_memory_copy(memory, &nowhere, 1, &byte) != 0 || errno != EFAULT) {
        memory->way = GILX_PROC_SELF_MEM;
    }
    return true;
}

/* Have another process's memory, which is the one that was opened, for another thread. */
static bool share_process(gilx_memory *memory, const gilx_memory *given,
                          bool private_files) {
    *memory = *given;
    if (!private_files) { /* both are closed, one after the other */
        const int file = fcntl(given->file, F_DUPFD_CLOEXEC, 0);
        memory->file = file < 0 ? -1 : gilx_high_descriptor(file);
    }
    if (memory->file < 0 || !is_right_file(memory)) {
        gilx_memory_close(memory);
        return false;
    }
    memory->private_file = private_files;
    return true;
}

bool gilx_memory_reopen(gilx_memory *memory, const gilx_memory *given,
                        bool private_files) {
    if (given->process != 0) {
        return share_process(memory, given, private_files);
    }
    const gilx_memory_way way = given->way;
    const bool writes = way == GILX_MEMORY_FILE || way == GILX_PIPE;
    if (private_files || !writes) {
        return gilx_memory_open(memory, gilx_memory_names[way]);
    }
    return gilx_memory_open(memory, gilx_memory_names[GILX_PROCESS_VM_READV]) ||
           gilx_memory_open(memory, gilx_memory_names[GILX_PROC_SELF_MEM]);
}

#else

bool gilx_memory_open(gilx_memory *memory, const char *name) {
    (void)name;
    *memory = (gilx_memory){.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
    errno = ENOSYS;
    return false;
}

bool gilx_memory_open_process(gilx_memory *memory, int64_t process) {
    (void)process;
    return gilx_memory_open(memory, NULL);
}

size_t gilx_memory_copy(gilx_memory *memory, const gilx_range *ranges, int count,
                        void *to) {
    (void)memory, (void)ranges, (void)count, (void)to;
    errno = ENOSYS;
    return 0;
}

bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size) {
    (void)memory, (void)from, (void)to, (void)size;
    errno = ENOSYS;
    return false;
}

void gilx_memory_close(gilx_memory *memory) {
    (void)memory;
}

bool gilx_memory_reopen(gilx_memory *memory, const gilx_memory *given,
                        bool private_files) {
    (void)given, (void)private_files;
    return gilx_memory_open(memory, NULL);
}

int gilx_high_descriptor(int descriptor) {
    return descriptor;
}

#endif
