/* Sleeps of a thread, found from its clocks: without a sample that meets one. Clocks of
 * other processes' threads are not exact enough; their sleeps are counted. */
#ifndef GILX_SAMPLER_SLEEP_WATCH_H
#define GILX_SAMPLER_SLEEP_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Clocks of one thread when they were last compared, which took from one time to another.
 * All are in ns. */
typedef struct {
    int64_t process, tid;  /* as in linux_threads.h; 0 if no thread is watched */
    int schedstat, status; /* see gilx_schedstat_open() and gilx_status_open(), or -1 */
    int64_t from_ns, to_ns, cpu_ns, wait_ns;
    int64_t sleeps; /* number of sleeps, -1 if it was not read yet */
} gilx_sleep_watch;

/* A watch of no thread. */
#define GILX_NO_SLEEP_WATCH ((gilx_sleep_watch){.schedstat = -1, .status = -1})

/* Watch a thread from now on. */
void gilx_sleep_watch_begin(gilx_sleep_watch *watch, int64_t process, int64_t tid);

/* Return whether the thread has slept, but not all the time, since it was last asked.
 * False if that is not known, and not yet if it has hardly run since: the time until then
 * counts when it is asked next. */
bool gilx_slept(gilx_sleep_watch *watch);

void gilx_sleep_watch_end(gilx_sleep_watch *watch);

#endif
