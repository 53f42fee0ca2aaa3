/* What Linux tells of threads, and what it lets one ask for. Nothing here takes memory
 * but the stack's, or a lock.
 *
 * Functions that take a `process` are about a thread of that process, or of this one if
 * it is 0. */
#ifndef GILX_SAMPLER_LINUX_THREADS_H
#define GILX_SAMPLER_LINUX_THREADS_H

#include <stdbool.h>
#include <stdint.h>

/* CPU time of the calling thread, in nanoseconds. */
int64_t gilx_own_cpu_ns(void);

/* Native id of the calling thread. */
int64_t gilx_own_tid(void);

/* CPU time of a thread, -1 if the thread does not exist. Its number makes the clock's, as
 * Linux has it (include/linux/posix-timers.h): a handle of pthreads might be dead. Of
 * threads of other processes the scheduler's clock is read, which may be up to a tick
 * behind while they run: it shows that they have run, not that they are running. */
int64_t gilx_cpu_ns_of(int64_t process, int64_t tid);

/* When a thread was started, in clock ticks since the system was; 0 if
 * that can't be read. See proc_pid_stat(5), field 22. */
int64_t gilx_start_of(int64_t process, int64_t tid);

/* Whether a thread has a name, see gilx_name_thread(). False if there is
 * no such thread, or its name can't be read. */
bool gilx_is_named(int64_t process, int64_t tid, const char *name);

/* Call meet(context, tid) for each thread of a process. Returns 0, or an errno if not all
 * could be listed. */
int gilx_each_thread(int64_t process, void (*meet)(void *context, int64_t tid),
                     void *context);

/* Close one of the files that the functions below open; nothing if it is -1, or if the
 * program has closed it and opened a file of another kind in its place. */
void gilx_close_thread_file(int file);

/* Open what Linux tells of a thread; -1, with errno set, where it does not. */
int gilx_stat_open(int64_t process, int64_t tid);

/* Whether that thread is on a CPU or waits for one, rather than for something else;
 * `known` is set to whether that can be said. See proc_pid_stat(5), field 3. */
bool gilx_is_runnable(int stat, bool *known);

/* Open what Linux's scheduler says of a thread; -1 if it says nothing. */
int gilx_schedstat_open(int64_t process, int64_t tid);

/* Return for how long that thread has waited for a CPU in all, in ns; -1 if that can't be
 * read. A wait counts when it has ended. */
int64_t gilx_cpu_wait_ns(int schedstat);

/* Open what Linux tells of a thread in words; -1 if it tells nothing. */
int gilx_status_open(int64_t process, int64_t tid);

/* Return how often that thread gave up its CPU to wait for something; -1 if that can't be
 * read. A thread that the scheduler or a hypervisor took off its CPU did not. */
int64_t gilx_sleeps(int status);

/* Open what Linux says of the system call that a thread is in; -1, with errno set, if it
 * says nothing. */
int gilx_syscall_open(int64_t process, int64_t tid);

enum { GILX_SYSCALL_SIZE = 256 };

/* Read that, see proc_pid_syscall(5); whether it could be read. */
bool gilx_syscall_read(int file, char text[GILX_SYSCALL_SIZE]);

enum { GILX_THREAD_NAME_SIZE = 17 };

/* Read the name that Linux has for a thread of this process. Returns false if it has none
 * of its own: threads have that of the one that started them, unless they are named. */
bool gilx_thread_name(int64_t tid, char name[GILX_THREAD_NAME_SIZE]);

/* Name the calling thread, for those who list threads. */
void gilx_name_thread(const char *name);

/* Ask that the calling thread be woken without timer slack; whether it was granted. */
bool gilx_refuse_slack(void);

/* Ask for short turns on a CPU, which then begin sooner; whether it was granted. Who
 * refuses wakes the thread later, which is seen and told. */
bool gilx_ask_for_turns(uint64_t turn_ns);

#endif
