/* The CPU that a thread runs on, and how to leave it, for all systems.
 *
 * Only Linux reports the CPU, and only to files that define _GNU_SOURCE before anything
 * else; elsewhere the scheduler is left alone.
 */
#ifndef GILX_PLATFORM_CPUS_H
#define GILX_PLATFORM_CPUS_H

#if defined(_WIN32)
#include <windows.h>
#else
#include <sched.h>
#endif

/* Let another thread that waits for this CPU have it first, if there is one. */
static inline void gilx_yield(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

/* Return the number of the CPU that the caller runs on, or -1 if it is not known. */
static inline int gilx_cpu(void) {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

/* Move the calling thread off a CPU, if it may run on another. The thread is not bound to
 * a CPU: its affinity stays as it was. */
static inline void gilx_leave_cpu(int cpu) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (cpu < 0 || cpu >= CPU_SETSIZE ||
        sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return;
    }
    others = allowed;
    CPU_CLR((unsigned)cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0) {
        (void)sched_setaffinity(0, sizeof allowed, &allowed);
    }
#else
    (void)cpu;
#endif
}

#endif
