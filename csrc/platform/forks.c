#define _POSIX_C_SOURCE 200809L

#include "forks.h"

#include <stdatomic.h>

#if !defined(_WIN32)
#include <pthread.h>

static atomic_uint forks;
static _Atomic uintptr_t forking_thread;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void) {
    atomic_store(&forking_thread, gilx_this_thread());
    atomic_fetch_add(&forks, 1);
}

void gilx_at_fork(void (*in_child)(void)) {
    pthread_atfork(NULL, NULL, in_child);
}

static void watch_forks(void) {
    gilx_at_fork(count_fork);
}

unsigned gilx_forks(void) {
    pthread_once(&once, watch_forks);
    return atomic_load_explicit(&forks, memory_order_relaxed);
}

uintptr_t gilx_this_thread(void) {
    return (uintptr_t)pthread_self();
}

uintptr_t gilx_forking_thread(void) {
    return atomic_load(&forking_thread);
}
#else
#include <windows.h>

void gilx_at_fork(void (*in_child)(void)) {
    (void)in_child; /* there are none */
}

uintptr_t gilx_this_thread(void) {
    return GetCurrentThreadId();
}

uintptr_t gilx_forking_thread(void) {
    return 0;
}

unsigned gilx_forks(void) {
    return 0;
}
#endif
