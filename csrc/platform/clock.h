/* Clocks and short waits, the one place that knows the operating system's own.
 *
 * POSIX files include this after Python.h, or with _POSIX_C_SOURCE set to 200809L.
 */
#ifndef GILX_PLATFORM_CLOCK_H
#define GILX_PLATFORM_CLOCK_H

#include <stdint.h>

#if defined(_WIN32)
#include <windows.h>
#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION /* since Windows 10, version 1803 */
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 0x00000002
#endif
#else
#include <time.h>
#endif

/* Monotonic time in nanoseconds from an arbitrary start. */
static inline int64_t gilx_now_ns(void) {
#if defined(_WIN32)
    LARGE_INTEGER ticks, rate;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&rate);
    int64_t whole = ticks.QuadPart / rate.QuadPart;
    int64_t rest = ticks.QuadPart % rate.QuadPart;
    return whole * 1000000000 + rest * 1000000000 / rate.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + (int64_t)now.tv_nsec;
#endif
}

/* Sleep for about that many nanoseconds; a signal may end the sleep early. */
static inline void gilx_sleep_ns(int64_t nanoseconds) {
#if defined(_WIN32)
    /* A sleep of Sleep() lasts until a tick, 15 ms away or so; a timer's need not. */
    const HANDLE timer = CreateWaitableTimerExW(
        NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION, TIMER_ALL_ACCESS);
    const LARGE_INTEGER length = {.QuadPart = -(nanoseconds / 100)}; /* from now */
    if (timer != NULL && SetWaitableTimer(timer, &length, 0, NULL, NULL, FALSE)) {
        WaitForSingleObject(timer, INFINITE);
    } else {
        Sleep((DWORD)((nanoseconds + 999999) / 1000000));
    }
    if (timer != NULL) {
        CloseHandle(timer);
    }
#else
    struct timespec length = {.tv_sec = (time_t)(nanoseconds / 1000000000),
                              .tv_nsec = (long)(nanoseconds % 1000000000)};
    nanosleep(&length, NULL);
#endif
}

#endif
