#define _GNU_SOURCE /* for process_vm_readv, memfd_create, pipe2 */

#include "safe_memory.h"

#include <errno.h>
#include <stdint.h>
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
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U /* since Linux 6.3, which logs files without it */
#endif

/* Beyond the half of the address space that programs have, a write fails as a whole even
 * if only one of several ranges lies there; so such addresses are refused here. */
static const uintptr_t MOST_ADDRESS = UINTPTR_MAX >> 1;

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
    if (ftruncate(memory->file, GILX_MOST_READ) != 0) {
        return -1;
    }
    void *map =
        mmap(NULL, GILX_MOST_READ, PROT_READ, MAP_SHARED | MAP_POPULATE, memory->file, 0);
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

/* Leave nothing in the pipe that the next read would take for its own. */
static void empty_pipe(gilx_memory *memory) {
    char waste[256];
    while (read(memory->file, waste, sizeof(waste)) > 0) {
    }
}

bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size) {
    const uintptr_t address = (uintptr_t)from;
    if (size > GILX_MOST_READ || address > MOST_ADDRESS - size) {
        errno = EFAULT;
        return false;
    }
    const long count = (long)size;
    const struct iovec local = {.iov_base = to, .iov_len = size};
    const struct iovec remote = {.iov_base = (void *)address, .iov_len = size};
    switch (memory->way) {
    case GILX_MEMORY_FILE:
        if (syscall(SYS_pwrite64, memory->file, from, size, (off_t)0) != count) {
            return false;
        }
        memcpy(to, memory->map, size);
        return true;
    case GILX_PIPE: {
        const long written = syscall(SYS_write, memory->other, from, size);
        if (written == count && syscall(SYS_read, memory->file, to, size) == count) {
            return true;
        }
        const int error = written < 0 ? errno : EFAULT;
        empty_pipe(memory);
        errno = error;
        return false;
    }
    case GILX_PROCESS_VM_READV:
        return syscall(SYS_process_vm_readv, (long)getpid(), &local, 1UL, &remote, 1UL,
                       0UL) == count;
    case GILX_PROC_SELF_MEM:
        return syscall(SYS_pread64, memory->file, to, size, (off_t)address) == count;
    case GILX_MEMORY_WAYS:
        break;
    }
    errno = EBADF;
    return false;
}

void gilx_memory_close(gilx_memory *memory) {
    const int error = errno;
    if (memory->map != NULL) {
        munmap(memory->map, GILX_MOST_READ);
    }
    if (memory->file >= 0) {
        close(memory->file);
    }
    if (memory->other >= 0) {
        close(memory->other);
    }
    *memory = (gilx_memory){.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
    errno = error;
}

/* Whether a way reads known bytes as they are, and fails where nothing is mapped. */
static bool certified(gilx_memory *memory) {
    unsigned char known[64], copy[sizeof(known)];
    for (size_t i = 0; i < sizeof(known); ++i) {
        known[i] = (unsigned char)(i * 37 + 11);
    }
    memset(copy, 0, sizeof(copy));
    if (!gilx_memory_read(memory, known, copy, sizeof(known))) {
        return false;
    }
    if (memcmp(known, copy, sizeof(known)) != 0) {
        errno = EIO;
        return false;
    }
    /* Nothing is ever mapped at 0. A failure must leave nothing behind, either. */
    if (gilx_memory_read(memory, NULL, copy, sizeof(copy))) {
        errno = EIO;
        return false;
    }
    memset(copy, 0, sizeof(copy));
    return gilx_memory_read(memory, known, copy, sizeof(known)) &&
           memcmp(known, copy, sizeof(known)) == 0;
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

#else

bool gilx_memory_open(gilx_memory *memory, const char *name) {
    (void)name;
    *memory = (gilx_memory){.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
    errno = ENOSYS;
    return false;
}

bool gilx_memory_read(gilx_memory *memory, const void *from, void *to, size_t size) {
    (void)memory, (void)from, (void)to, (void)size;
    errno = ENOSYS;
    return false;
}

void gilx_memory_close(gilx_memory *memory) {
    (void)memory;
}

int gilx_high_descriptor(int descriptor) {
    return descriptor;
}

#endif
