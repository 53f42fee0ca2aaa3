#define _POSIX_C_SOURCE 200809L

#include "forks.h"

#include <stdatomic.h>

#if !defined(_WIN32)
#include <pthread.h>

static atomic_uint forks;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void count_fork(void) {
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, count_fork);
}

unsigned gilx_forks(void) {
    pthread_once(&once, watch_forks);
    return atomic_load_explicit(&forks, memory_order_relaxed);
}
#else
unsigned gilx_forks(void) {
    return 0;
}
#endif
