/* Count of forks, so that what belongs to one process is not used in its child. */
#ifndef GILX_PLATFORM_FORKS_H
#define GILX_PLATFORM_FORKS_H

#include <stdint.h>

/* Number of forks, since the first call of this function, whose child is this process or
 * an ancestor of it. Costs no system call. */
unsigned gilx_forks(void);

/* Have a function called in each child of a fork, by its one thread, before it goes on.
 */
void gilx_at_fork(void (*in_child)(void));

/* A number, never 0, that distinguishes this thread from all others of the process, also
 * after a fork; and the number of the thread that the newest fork left in this process, 0
 * before any fork. */
uintptr_t gilx_this_thread(void);
uintptr_t gilx_forking_thread(void);

#endif
