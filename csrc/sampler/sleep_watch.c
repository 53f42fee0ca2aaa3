#define _POSIX_C_SOURCE 200809L

#include "sleep_watch.h"

#include <unistd.h>

#include "../platform/clock.h"
#include "linux_threads.h"
#include "safe_memory.h"

/* Reading three clocks one after another takes time that looks like a shorter sleep. */
static const int64_t SHORTEST_NS = 100 * 1000;

/* Read the clocks; return whether the thread was on a CPU meanwhile. */
static bool read_clocks(gilx_sleep_watch *watch) {
    const int64_t before = gilx_cpu_ns_of(watch->tid);
    watch->at_ns = gilx_now_ns();
    watch->wait_ns = gilx_cpu_wait_ns(watch->schedstat);
    watch->cpu_ns = gilx_cpu_ns_of(watch->tid);
    return before >= 0 && watch->cpu_ns > before && watch->wait_ns >= 0;
}

void gilx_sleep_watch_begin(gilx_sleep_watch *watch, int64_t tid) {
    if (watch->tid != tid) {
        gilx_sleep_watch_end(watch);
        watch->tid = tid;
        watch->schedstat = gilx_high_descriptor(gilx_schedstat_open(tid));
    }
    (void)read_clocks(watch);
}

bool gilx_slept(gilx_sleep_watch *watch) {
    const gilx_sleep_watch last = *watch;
    if (watch->schedstat < 0 || !read_clocks(watch)) {
        *watch = last;
        return false;
    }
    const int64_t ran = watch->cpu_ns - last.cpu_ns;
    const int64_t waited = watch->wait_ns - last.wait_ns;
    const int64_t slept = watch->at_ns - last.at_ns - ran - waited;
    return last.wait_ns >= 0 && ran > SHORTEST_NS && slept > SHORTEST_NS;
}

void gilx_sleep_watch_end(gilx_sleep_watch *watch) {
    if (watch->schedstat >= 0) {
        close(watch->schedstat);
    }
    *watch = GILX_NO_SLEEP_WATCH;
}
