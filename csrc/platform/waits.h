/* Waiting for a 32-bit word to change: asleep, or in a loop.
 *
 * Linux has futexes, and Windows has WaitOnAddress. Elsewhere a waiter sleeps briefly and
 * checks again, which is slower to wake but correct.
 */
#ifndef GILX_PLATFORM_WAITS_H
#define GILX_PLATFORM_WAITS_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <windows.h>
#else
#include "clock.h"
#endif

/* Tell the processor that this is a loop that waits. */
static inline void gilx_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Sleep until woken, for at most `timeout_ns` (-1: however long), unless *word is no
 * longer `expected`. May return early for no reason. */
static inline void gilx_park(_Atomic uint32_t *word, uint32_t expected,
                             int64_t timeout_ns) {
#if defined(__linux__)
    struct timespec limit = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                             .tv_nsec = (long)(timeout_ns % 1000000000)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout_ns < 0 ? NULL : &limit,
            NULL, 0);
#elif defined(_WIN32)
    /* Rounded up, so that a wait of a nanosecond does not spin. */
    const DWORD limit =
        timeout_ns < 0 ? INFINITE : (DWORD)((timeout_ns + 999999) / 1000000);
    (void)WaitOnAddress((volatile void *)word, &expected, sizeof expected, limit);
#else
    (void)timeout_ns;
    if (atomic_load(word) == expected) {
        gilx_sleep_ns(50000);
    }
#endif
}

/* Wake all threads that sleep on the word. */
static inline void gilx_unpark(_Atomic uint32_t *word) {
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#elif defined(_WIN32)
    WakeByAddressAll((void *)word);
#else
    (void)word;
#endif
}

#endif
