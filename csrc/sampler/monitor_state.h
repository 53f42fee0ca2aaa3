/* What a monitor has in addition to a sampler, and the functions of its thread.
 *
 * Files that include this define _POSIX_C_SOURCE as 200809L.
 */
#ifndef GILX_SAMPLER_MONITOR_STATE_H
#define GILX_SAMPLER_MONITOR_STATE_H

#include "monitor.h"
#include "sampler_state.h"

/* Return a monitor for a sampler with these options, or NULL with errno set. */
gilx_monitor *gilx_monitor_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options);
void gilx_monitor_free(gilx_monitor *monitor);

/* Return for how long a thread has to wait until that is a stall, 0 if none is reported.
 */
int64_t gilx_monitor_stall_ns(const gilx_monitor *monitor);

/* Return when the thread has to look at the GIL again, if not for a sample before. */
int64_t gilx_monitor_due(const gilx_monitor *monitor);

/* Look at the GIL, after a sample or when it is due; report if it is not released.
 * `unbroken`: it was held in all reads of the sample. */
void gilx_monitor_look(gilx_sampler *sampler, bool unbroken);

/* Begin to follow holds. */
void gilx_monitor_begin(gilx_sampler *sampler);

/* Return the descriptor of the log, -1 if there is none; close it; or forget it. */
int gilx_monitor_log(const gilx_monitor *monitor);
void gilx_monitor_close_log(gilx_monitor *monitor);
void gilx_monitor_forget_log(gilx_monitor *monitor);

#endif
