#define _GNU_SOURCE /* for Linux's own calls */

#include "linux_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { SCHEDSTAT_SIZE = 64 };

int64_t gilx_own_cpu_ns(void) {
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + (int64_t)spent.tv_nsec;
}

int64_t gilx_own_tid(void) {
    return (int64_t)syscall(SYS_gettid);
}

/* Read the numbers that the scheduler has of a thread; NULL if that fails. See
 * Documentation/scheduler/sched-stats.rst of Linux. */
static const char *read_schedstat(int schedstat, char text[SCHEDSTAT_SIZE]) {
    const ssize_t size =
        schedstat < 0 ? -1 : pread(schedstat, text, SCHEDSTAT_SIZE - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return size > 0 ? text : NULL;
}

int64_t gilx_cpu_ns_of(int64_t process, int64_t tid) {
    enum { PER_THREAD = 4, SCHEDULED = 2 };
    if (process != 0) {
        char text[SCHEDSTAT_SIZE];
        const int file = gilx_schedstat_open(process, tid);
        const char *first = read_schedstat(file, text);
        if (file >= 0) {
            close(file);
        }
        return first == NULL ? -1 : strtoll(first, NULL, 10);
    }
    clockid_t clock = (clockid_t)(~(uint32_t)tid << 3 | PER_THREAD | SCHEDULED);
    struct timespec spent;
    if (tid <= 0 || clock_gettime(clock, &spent) != 0) {
        return -1;
    }
    return (int64_t)spent.tv_sec * 1000000000 + (int64_t)spent.tv_nsec;
}

/* Open one of the files that Linux has for a thread; -1 if there is none. */
static int open_file_of(int64_t process, int64_t tid, const char *name) {
    if (tid <= 0) {
        return -1;
    }
    char path[80];
    if (process == 0) {
        snprintf(path, sizeof(path), "/proc/self/task/%lld/%s", (long long)tid, name);
    } else {
        snprintf(path, sizeof(path), "/proc/%lld/task/%lld/%s", (long long)process,
                 (long long)tid, name);
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

void gilx_close_thread_file(int file) {
    enum { PROC = 0x9fa0 }; /* see statfs(2) */
    struct statfs system;
    if (file >= 0 && fstatfs(file, &system) == 0 && system.f_type == PROC) {
        close(file);
    }
}

int gilx_stat_open(int64_t process, int64_t tid) {
    return open_file_of(process, tid, "stat");
}

int gilx_schedstat_open(int64_t process, int64_t tid) {
    return open_file_of(process, tid, "schedstat");
}

int64_t gilx_cpu_wait_ns(int schedstat) {
    /* The time on a CPU, that of waiting for one, and the number of times on one. */
    char text[SCHEDSTAT_SIZE];
    const char *first = read_schedstat(schedstat, text);
    const char *second = first == NULL ? NULL : strchr(first, ' ');
    return second == NULL ? -1 : strtoll(second, NULL, 10);
}

int gilx_status_open(int64_t process, int64_t tid) {
    return open_file_of(process, tid, "status");
}

int64_t gilx_sleeps(int status) {
    /* See proc_pid_status(5). The masks of CPUs and of memory before it may be long. */
    static const char NAME[] = "\nvoluntary_ctxt_switches:";
    char text[8192];
    const ssize_t size = status < 0 ? -1 : pread(status, text, sizeof(text) - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *at = strstr(text, NAME);
    return at == NULL ? -1 : strtoll(at + sizeof(NAME) - 1, NULL, 10);
}

int gilx_syscall_open(int64_t process, int64_t tid) {
    return open_file_of(process, tid, "syscall");
}

bool gilx_syscall_read(int file, char text[GILX_SYSCALL_SIZE]) {
    const ssize_t size = pread(file, text, GILX_SYSCALL_SIZE - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

enum { STAT_SIZE = 512 };

/* Read a stat file; return its fields from the third one on, NULL if it can't be read. */
static const char *stat_fields(int stat, char text[STAT_SIZE]) {
    const ssize_t size = pread(stat, text, STAT_SIZE - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    const char *at = strrchr(text, ')'); /* the name before may hold anything */
    return at != NULL && at[1] == ' ' ? at + 2 : NULL;
}

bool gilx_is_runnable(int stat, bool *known) {
    char text[STAT_SIZE];
    const char *fields = stat_fields(stat, text);
    *known = fields != NULL;
    return *known && fields[0] == 'R';
}

int64_t gilx_start_of(int64_t process, int64_t tid) {
    enum { FIELDS_BETWEEN = 19 };
    char text[STAT_SIZE];
    const int stat = gilx_stat_open(process, tid);
    if (stat < 0) {
        return 0;
    }
    const char *at = stat_fields(stat, text);
    for (int i = 0; at != NULL && i < FIELDS_BETWEEN; ++i) {
        at = strchr(at + 1, ' ');
    }
    close(stat);
    return at == NULL ? 0 : strtoll(at, NULL, 10);
}

bool gilx_is_named(int64_t process, int64_t tid, const char *name) {
    char text[32]; /* 15 characters and the end of a line, see proc_pid_comm(5) */
    const int file = open_file_of(process, tid, "comm");
    if (file < 0) {
        return false;
    }
    const size_t length = strlen(name);
    const bool same = pread(file, text, sizeof(text), 0) == (ssize_t)length + 1 &&
                      memcmp(text, name, length) == 0;
    close(file);
    return same;
}

/* What getdents64(2) returns. C libraries have no common name for it. */
typedef struct {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
} directory_entry;

int gilx_each_thread(int64_t process, void (*meet)(void *context, int64_t tid),
                     void *context) {
    char path[32] = "/proc/self/task";
    if (process != 0) {
        snprintf(path, sizeof(path), "/proc/%lld/task", (long long)process);
    }
    const int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return errno;
    }
    _Alignas(directory_entry) char buffer[4096];
    long size;
    while ((size = syscall(SYS_getdents64, directory, buffer, sizeof(buffer))) > 0) {
        for (long at = 0; at < size;) {
            const directory_entry *entry = (const directory_entry *)(buffer + at);
            const int64_t tid = strtol(entry->name, NULL, 10);
            if (tid > 0) {
                meet(context, tid);
            }
            at += entry->size;
        }
    }
    const int status = size < 0 ? errno : 0;
    close(directory);
    return status;
}

/* Read a thread's name, with the end of the line. */
static bool read_name(int64_t tid, char name[GILX_THREAD_NAME_SIZE]) {
    const int file = open_file_of(0, tid, "comm");
    if (file < 0) {
        return false;
    }
    const ssize_t size = read(file, name, GILX_THREAD_NAME_SIZE - 1);
    close(file);
    name[size > 0 ? size : 0] = '\0';
    return size > 0;
}

bool gilx_thread_name(int64_t tid, char name[GILX_THREAD_NAME_SIZE]) {
    char of_process[GILX_THREAD_NAME_SIZE];
    if (!read_name(tid, name) ||
        (read_name((int64_t)getpid(), of_process) && strcmp(name, of_process) == 0)) {
        return false;
    }
    name[strcspn(name, "\n")] = '\0';
    return true;
}

void gilx_name_thread(const char *name) {
    (void)prctl(PR_SET_NAME, name, 0UL, 0UL, 0UL);
}

bool gilx_refuse_slack(void) {
    return prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) == 0;
}

#if defined(SYS_sched_getattr) && defined(SYS_sched_setattr)
/* What sched_setattr(2) takes, in its first form: C libraries know it only of late. */
typedef struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
} sched_attributes;
#endif

bool gilx_ask_for_turns(uint64_t turn_ns) {
#if defined(SYS_sched_getattr) && defined(SYS_sched_setattr)
    sched_attributes ours = {.size = sizeof(ours)};
    if (syscall(SYS_sched_getattr, 0, &ours, sizeof(ours), 0) != 0 ||
        ours.policy != SCHED_OTHER) {
        return false;
    }
    ours.size = sizeof(ours);
    ours.runtime = turn_ns;
    /* Kernels that know no such turns say yes, and forget it. */
    return syscall(SYS_sched_setattr, 0, &ours, 0) == 0 &&
           syscall(SYS_sched_getattr, 0, &ours, sizeof(ours), 0) == 0 &&
           ours.runtime == turn_ns;
#else
    (void)turn_ns;
    return false;
#endif
}
