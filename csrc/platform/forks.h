/* Counting forks, so that what belongs to one process is not used in its child. */
#ifndef GILX_PLATFORM_FORKS_H
#define GILX_PLATFORM_FORKS_H

/* How often this process, or one that it was forked from, was a child of a fork since the
 * first call of this. Costs no system call. */
unsigned gilx_forks(void);

#endif
