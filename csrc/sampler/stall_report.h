/* Report on a GIL that is not released: the stacks of the thread that holds it and of
 * those that wait for it, as text; and on an event loop that is blocked: the stack of its
 * thread.
 *
 * It is made while the program is stuck: without malloc, stdio, the loader or a lock.
 */
#ifndef GILX_SAMPLER_STALL_REPORT_H
#define GILX_SAMPLER_STALL_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "code_table.h"
#include "report_text.h"
#include "sampler.h"

/* What is known of a stall when its report is made. */
typedef struct {
    uintptr_t holder; /* the thread state that holds the GIL */
    uint32_t waiters; /* threads that wait for it, without `requester` */
    int64_t length_ns;
    bool again;         /* whether it was reported before */
    bool all;           /* whether all threads are listed, not only those that wait */
    int64_t unreported; /* stalls before it without a report */
    int64_t process, requester; /* a thread of gilx's that only asks for the GIL, or 0 */
} gilx_stall_facts;

/* What is known of a blocked event loop when its report is made. */
typedef struct {
    int64_t tid; /* of the thread that runs it */
    int64_t length_ns;
    bool again;         /* as in gilx_stall_facts, and the next ones */
    int64_t unreported; /* blocked loops before it without a report */
    int64_t process;
} gilx_loop_facts;

/* Where the GIL is held, or the thread of a loop is, for records. */
typedef struct {
    int64_t tid;
    char function[GILX_LONGEST_NAME + 1], file[GILX_LONGEST_FILE + 1];
    int32_t line;     /* 0: not known */
    bool awaits_lock; /* whether the thread waits for another lock */
} gilx_stall_place;

/* Make a report. `codes` is NULL if stacks are not read. */
void gilx_stall_report(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_stall_facts *facts, gilx_text *text,
                       gilx_stall_place *place);

/* Make a report on an event loop that has not come back to its selector. */
void gilx_loop_report(gilx_sampler *sampler, gilx_code_table *codes,
                      const gilx_loop_facts *facts, gilx_text *text,
                      gilx_stall_place *place);

/* Make the line that says for how long the loop of a thread was blocked. `open`: it still
 * is, and the monitor is stopped. */
void gilx_loop_end_text(int64_t tid, int64_t length_ns, int64_t process, bool open,
                        gilx_text *text);

#endif
