/* Threads in reports: their names, what they do, and their Python stacks.
 *
 * As for all of a report, nothing here needs malloc, stdio, the loader or a lock that a
 * thread may have that is stuck.
 */
#ifndef GILX_SAMPLER_REPORT_THREADS_H
#define GILX_SAMPLER_REPORT_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "code_table.h"
#include "report_text.h"
#include "sampler.h"
#include "stall_report.h"
#include "thread_activity.h"

enum { GILX_REPORT_STATES = 1 << 12 }; /* thread states that are gone through */

/* Copy a word of a thread state. Returns false if its place is not known, or it is gone.
 */
bool gilx_report_read(gilx_sampler *sampler, uintptr_t state, int64_t offset, void *to,
                      size_t size);

/* Return the native id that a thread state gives, 0 if it can't be read. */
int64_t gilx_report_tid(gilx_sampler *sampler, uintptr_t state);

/* Return the Python state of a thread, 0 if it is not known. */
uintptr_t gilx_report_state_of(gilx_sampler *sampler, int64_t tid);

/* Return what a thread does in words; an empty text if that is not known. */
const char *gilx_report_words(gilx_activity activity);

/* Add a thread's number and name. */
void gilx_report_add_thread(gilx_text *text, int64_t process, int64_t tid);

/* Add the stack of a thread that runs no Python code meanwhile. `place` is NULL unless it
 * is the thread to blame; `codes` is NULL if stacks are not read. */
void gilx_report_add_stack(gilx_sampler *sampler, gilx_code_table *codes, uintptr_t state,
                           gilx_text *text, gilx_stall_place *place);

/* Add the stack of a thread that may run Python code meanwhile, as far as it stays. */
void gilx_report_add_steady_stack(gilx_sampler *sampler, gilx_code_table *codes,
                                  uintptr_t state, gilx_text *text,
                                  gilx_stall_place *place);

/* Add the number of stalls before this one that had no report. */
void gilx_report_add_unreported(gilx_text *text, int64_t count);

#endif
