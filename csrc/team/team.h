/* A team of native threads: fork, join, and nothing in between.
 *
 * The threads never touch Python. Between regions they spin for a while, since a region
 * often follows soon, and then sleep until the next one. The calling thread is one of the
 * team, so a team of one has no threads at all.
 *
 * A team runs one region at a time; the caller must ensure that. In a child after fork
 * the threads are gone: its next region starts new ones.
 */
#ifndef GILX_TEAM_TEAM_H
#define GILX_TEAM_TEAM_H

#include "../kernels/polling.h"

typedef struct gilx_team gilx_team;

/* One worker's part of a region; workers are numbered from 0, the caller. */
typedef void gilx_work(void *context, int worker);

/* Start a team.
 *
 *   workers  how many, the caller included; at least 1
 *   spin_ns  how long an idle thread spins before it sleeps; 0 if there are more workers
 *            than CPUs, since a worker that spins takes a CPU from one that works
 *   error    set to an errno value on failure
 *
 * Returns the team, or NULL: no memory, or the system refused a thread. */
gilx_team *gilx_team_start(int workers, int64_t spin_ns, int *error);

/* Run one region: work(context, w) for each worker w at once; returns when all have.
 *
 *   control  polled every 20 ms while the caller has to wait for others; its tick is the
 *            caller's chance to tell them to stop. NULL if there is nothing to poll.
 *
 * Returns 0, or an errno value if threads lost to a fork could not be started again;
 * then nothing was run. */
int gilx_team_run(gilx_team *team, gilx_work *work, void *context, gilx_control *control);

/* Wait until no thread spins any more, before something else is timed. */
void gilx_team_settle(gilx_team *team);

/* End the threads, and free the team; not during a region. */
void gilx_team_free(gilx_team *team);

#endif
