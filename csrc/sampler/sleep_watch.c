#define _POSIX_C_SOURCE 200809L

#include "sleep_watch.h"

#include "../platform/clock.h"
#include "linux_threads.h"
#include "safe_memory.h"

/* Shorter sleeps are not told from the time between the reads of two clocks. */
static const int64_t SHORTEST_NS = 100 * 1000;

/* Read the clocks; return whether the thread was on a CPU meanwhile, so that no wait for
 * one is still to be counted. A sampler that was off the CPU itself can't tell. */
static bool read_clocks(gilx_sleep_watch *watch) {
    if (watch->process != 0) {
        return false;
    }
    const int64_t before = gilx_cpu_ns_of(0, watch->tid);
    watch->from_ns = gilx_now_ns();
    watch->wait_ns = gilx_cpu_wait_ns(watch->schedstat);
    watch->cpu_ns = gilx_cpu_ns_of(0, watch->tid);
    watch->to_ns = gilx_now_ns();
    return before >= 0 && watch->cpu_ns > before && watch->wait_ns >= 0 &&
           watch->to_ns - watch->from_ns < SHORTEST_NS;
}

void gilx_sleep_watch_begin(gilx_sleep_watch *watch, int64_t process, int64_t tid) {
    if (watch->tid != tid) {
        gilx_sleep_watch_end(watch);
        watch->process = process;
        watch->tid = tid;
        watch->schedstat = gilx_high_descriptor(gilx_schedstat_open(process, tid));
        watch->status = gilx_high_descriptor(gilx_status_open(process, tid));
    }
    (void)read_clocks(watch);
    watch->sleeps = process == 0 ? -1 : gilx_sleeps(watch->status);
}

/* Return whether the thread has slept, by its number of sleeps; `unknown` if that was not
 * read before. It is read where clocks do not tell, since it costs more than they do. */
static bool count_sleeps(gilx_sleep_watch *watch, bool unknown) {
    const int64_t before = watch->sleeps;
    watch->sleeps = gilx_sleeps(watch->status);
    return before < 0 || watch->sleeps < 0 ? unknown : watch->sleeps != before;
}

bool gilx_slept(gilx_sleep_watch *watch) {
    const gilx_sleep_watch last = *watch;
    if (!read_clocks(watch)) {
        *watch = last;
        return count_sleeps(watch, false);
    }
    const int64_t ran = watch->cpu_ns - last.cpu_ns;
    if (last.wait_ns >= 0 && ran <= SHORTEST_NS) {
        *watch = last; /* a sleep counts as soon as the thread has run, too */
        return false;
    }
    const int64_t waited = watch->wait_ns - last.wait_ns;
    const int64_t slept = watch->from_ns - last.to_ns - ran - waited;
    /* Time is also missing where a hypervisor took the CPU away. */
    return last.wait_ns >= 0 && slept > SHORTEST_NS && count_sleeps(watch, true);
}

void gilx_sleep_watch_end(gilx_sleep_watch *watch) {
    gilx_close_thread_file(watch->schedstat);
    gilx_close_thread_file(watch->status);
    *watch = GILX_NO_SLEEP_WATCH;
}
