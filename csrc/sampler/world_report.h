/* Report on a stop of the world that goes on, or waits for threads that do not stop: the
 * thread that asked for it, late threads and waiting threads, with their stacks, as text.
 *
 * It is made while the program is stuck, as stall_report.h says.
 */
#ifndef GILX_SAMPLER_WORLD_REPORT_H
#define GILX_SAMPLER_WORLD_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "code_table.h"
#include "free_threads.h"
#include "report_text.h"
#include "sampler.h"
#include "stall_report.h"
#include "thread_activity.h"
#include "world.h"

/* What a thread has to do with a stop of the world. */
typedef enum {
    GILX_STOP_LATE, /* it is attached while others are to stop */
    GILX_STOP_ASKER,
    GILX_STOP_AWAITED, /* it waits until the world goes on */
    GILX_STOP_OTHER,
} gilx_stop_role;

typedef struct {
    uintptr_t state;
    int64_t tid;
    gilx_stop_role role;
    gilx_activity activity;
    gilx_wait wait; /* if that is waiting for a lock */
} gilx_stop_thread;

/* List threads by what they have to do with a stop that these words show, as far as
 * `most` of them. `all`: others, too. Returns their number. */
int gilx_stop_threads(gilx_sampler *sampler, const gilx_world_words *words, bool all,
                      gilx_stop_thread *threads, int most);

/* What is known of a stop when its report is made. */
typedef struct {
    gilx_world_words words;
    int64_t length_ns;
    bool again, all; /* as in gilx_stall_facts, and the next ones */
    int64_t unreported;
    int64_t process, requester;
} gilx_stop_facts;

/* Make a report. `codes` is NULL if stacks are not read. `place` is that of the first
 * thread that is late, or of the one that asked; `waiters` is the number of threads that
 * wait. */
void gilx_world_report(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_stop_facts *facts, gilx_text *text,
                       gilx_stall_place *place, uint32_t *waiters);

/* Find out what a thread does. */
gilx_activity gilx_free_thread_does(gilx_sampler *sampler, uintptr_t state, int64_t tid,
                                    gilx_wait *wait);

/* Add that in words, with a space before them. */
void gilx_report_add_free_words(gilx_sampler *sampler, gilx_text *text,
                                gilx_activity activity, const gilx_wait *wait);

#endif
