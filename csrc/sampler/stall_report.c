#define _POSIX_C_SOURCE 200809L

#include "stall_report.h"

#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "report_threads.h"
#include "safe_memory.h"
#include "sampler_state.h"
#include "thread_activity.h"
#include "world_report.h"

enum {
    MOST_THREADS = 64, /* of which it is found out what they do, */
    MOST_SHOWN = 16,   /* and with a stack in the report */
};

/* ---- threads ---------------------------------------------------------------------- */

/* A thread with a Python state. */
typedef struct {
    uintptr_t state;
    int64_t tid;
    gilx_activity activity;
} thread_found;

/* Find out what a thread does, as far as Python or Linux says that. */
static gilx_activity activity_of(gilx_sampler *sampler, uintptr_t state, int64_t tid) {
    int wants = 0;
    if (gilx_report_read(sampler, state, sampler->options.states.waits, &wants,
                         sizeof(wants)) &&
        wants == 1) {
        return GILX_AWAITS_GIL;
    }
    const int file = sampler->totals.calls ? gilx_syscall_open(0, tid) : -1;
    if (file < 0) {
        return GILX_DOES_UNKNOWN;
    }
    char text[GILX_SYSCALL_SIZE];
    const bool there = gilx_syscall_read(file, text);
    close(file);
    return there ? gilx_activity_of(text, &sampler->gil) : GILX_DOES_UNKNOWN;
}

/* Whether a thread waits for the GIL, as far as that is known. Without addresses, any
 * thread that waits for a lock may. */
static bool may_await_gil(const gilx_sampler *sampler, gilx_activity activity) {
    return activity == GILX_AWAITS_GIL ||
           (activity == GILX_AWAITS_LOCK && !sampler->totals.addresses &&
            !sampler->totals.wishes);
}

/* Threads of which the first ones wait for the GIL. */
typedef struct {
    thread_found *threads;
    int count, waiting;
} thread_list;

/* Add a thread to a list, if it is to be in the report. */
static void add_thread(gilx_sampler *sampler, const gilx_stall_facts *facts,
                       uintptr_t state, int64_t tid, thread_list *list) {
    if (tid == 0 || tid == facts->requester || state == facts->holder ||
        list->count == MOST_THREADS) {
        return;
    }
    const thread_found one = {state, tid, activity_of(sampler, state, tid)};
    if (may_await_gil(sampler, one.activity)) {
        list->threads[list->count++] = list->threads[list->waiting];
        list->threads[list->waiting++] = one;
    } else if (facts->all) {
        list->threads[list->count++] = one;
    }
}

/* List the threads that the sampler knows, where the interpreter's list is not known.
 * Some of them have a known state. */
static void list_known(gilx_sampler *sampler, const gilx_stall_facts *facts,
                       thread_list *list) {
    const int64_t holder = gilx_report_tid(sampler, facts->holder);
    for (int i = 0; i < sampler->alive_count; ++i) {
        const int place = sampler->alive[i];
        const gilx_watched_thread *one = &sampler->table.threads[place];
        const uintptr_t state = gilx_has_state(sampler, place) ? one->state : 0;
        if (one->tid != holder) {
            add_thread(sampler, facts, state, one->tid, list);
        }
    }
}

/* List the interpreter's threads but for the holder, first those that wait. */
static void list_once(gilx_sampler *sampler, const gilx_stall_facts *facts,
                      thread_list *list) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state = 0;
    list->count = list->waiting = 0;
    if (layout->first == NULL) {
        list_known(sampler, facts, list);
        return;
    }
    (void)gilx_memory_read(&sampler->memory, layout->first, &state, sizeof(state));
    for (int i = 0; i < GILX_REPORT_STATES && state != 0; ++i) {
        add_thread(sampler, facts, state, gilx_report_tid(sampler, state), list);
        if (!gilx_report_read(sampler, state, layout->next, &state, sizeof(state))) {
            return;
        }
    }
}

/* List threads until as many wait as are known to: each is awake for a moment every few
 * milliseconds. Returns their number. */
static int list_threads(gilx_sampler *sampler, const gilx_stall_facts *facts,
                        thread_found threads[MOST_THREADS]) {
    enum { TRIES = 4, PAUSE_NS = 300 * 1000 };
    thread_list list = {.threads = threads};
    for (int i = 0; i < TRIES && (i == 0 || list.waiting < (int)facts->waiters); ++i) {
        if (i > 0) {
            gilx_sleep_ns(PAUSE_NS);
        }
        list_once(sampler, facts, &list);
    }
    return list.count;
}

/* Add the line above a thread's stack. */
static void add_thread_line(gilx_text *text, int64_t process, int64_t tid, bool holds,
                            gilx_activity activity) {
    const char *does = gilx_report_words(activity);
    gilx_text_add(text, "Thread ");
    gilx_report_add_thread(text, process, tid);
    gilx_text_add(text, holds ? " holds the GIL" : "");
    gilx_text_add(text, does[0] == '\0' ? "" : holds ? " and " : " ");
    gilx_text_add(text, does);
    gilx_text_add(text, " (most recent call first):\n");
}

static void add_head(gilx_text *text, const gilx_stall_facts *facts) {
    gilx_text_begin(text, facts->process);
    gilx_text_add(text, facts->again ? "the GIL has still not been released after "
                                     : "the GIL was not released for ");
    gilx_text_add_seconds(text, facts->length_ns);
    if (facts->waiters == 0) {
        gilx_text_add(text, " (no thread waits)");
    } else {
        gilx_text_add(text, " (");
        gilx_text_add_number(text, facts->waiters);
        gilx_text_add(text, facts->waiters == 1 ? " thread waits)" : " threads wait)");
    }
    gilx_text_end_line(text);
    gilx_report_add_unreported(text, facts->unreported);
}

/* Say that garbage is collected, by the thread that holds the GIL. */
static void add_collector(gilx_sampler *sampler, gilx_text *text) {
    const int *collecting = sampler->options.collecting;
    int collects = 0;
    if (collecting != NULL &&
        gilx_memory_read(&sampler->memory, collecting, &collects, sizeof(collects)) &&
        collects != 0) {
        gilx_text_add(text, "  (the garbage collector)\n");
    }
}

static void add_holder(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_stall_facts *facts, gilx_text *text,
                       gilx_stall_place *place) {
    place->tid = gilx_report_tid(sampler, facts->holder);
    const gilx_activity activity = activity_of(sampler, facts->holder, place->tid);
    place->awaits_lock = activity == GILX_AWAITS_LOCK;
    add_thread_line(text, facts->process, place->tid, true, activity);
    add_collector(sampler, text);
    gilx_report_add_stack(sampler, codes, facts->holder, text, place);
}

void gilx_stall_report(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_stall_facts *facts, gilx_text *text,
                       gilx_stall_place *place) {
    thread_found threads[MOST_THREADS] = {{0}};
    *place = (gilx_stall_place){.tid = 0};
    add_head(text, facts);
    add_holder(sampler, codes, facts, text, place);
    const int count = list_threads(sampler, facts, threads);
    for (int i = 0; i < count && i < MOST_SHOWN; ++i) {
        add_thread_line(text, facts->process, threads[i].tid, false, threads[i].activity);
        gilx_report_add_stack(sampler, codes, threads[i].state, text, NULL);
    }
    if (count > MOST_SHOWN) {
        gilx_text_add(text, "Threads that are not shown: ");
        gilx_text_add_number(text, count - MOST_SHOWN);
        gilx_text_add(text, "\n");
    }
}

/* ---- event loops ------------------------------------------------------------------ */

/* Add a thread with its stack. Returns what it does. */
static gilx_activity add_loop_thread(gilx_sampler *sampler, gilx_code_table *codes,
                                     const gilx_loop_facts *facts, uintptr_t state,
                                     int64_t tid, gilx_text *text,
                                     gilx_stall_place *place) {
    const bool holds = state != 0 && gilx_gil_locked(&sampler->words) &&
                       gilx_gil_holder(&sampler->words) == state;
    const gilx_activity activity = activity_of(sampler, state, tid);
    add_thread_line(text, facts->process, tid, holds, activity);
    if (holds) {
        add_collector(sampler, text);
    }
    gilx_report_add_steady_stack(sampler, codes, state, text, place);
    return activity;
}

/* Add a thread with its stack where there is no GIL, and if it waits for the world, the
 * one that has stopped that. */
static void add_free_thread(gilx_sampler *sampler, gilx_code_table *codes,
                            const gilx_loop_facts *facts, uintptr_t state,
                            gilx_text *text, gilx_stall_place *place) {
    gilx_wait wait;
    gilx_world_words words;
    const gilx_activity activity =
        gilx_free_thread_does(sampler, state, facts->tid, &wait);
    gilx_text_add(text, "Thread ");
    gilx_report_add_thread(text, facts->process, facts->tid);
    gilx_report_add_free_words(sampler, text, activity, &wait);
    gilx_text_add(text, " (most recent call first):\n");
    gilx_report_add_steady_stack(sampler, codes, state, text, place);
    const uintptr_t world = sampler->free->threads.world;
    if (activity == GILX_STOPPED && world != 0 && gilx_world_words_now(world, &words) &&
        words.requested && words.requester != 0 && words.requester != state) {
        gilx_text_add(text, "Thread ");
        gilx_report_add_thread(text, facts->process,
                               gilx_report_tid(sampler, words.requester));
        gilx_text_add(text, " asked for the stop (most recent call first):\n");
        gilx_report_add_steady_stack(sampler, codes, words.requester, text, NULL);
    }
}

static void add_loop_head(gilx_text *text, const gilx_loop_facts *facts) {
    gilx_text_begin(text, facts->process);
    gilx_text_add(text, "the event loop of thread ");
    gilx_report_add_thread(text, facts->process, facts->tid);
    gilx_text_add(text, facts->again ? " has still not returned to its selector after "
                                     : " has not returned to its selector for ");
    gilx_text_add_seconds(text, facts->length_ns);
    gilx_text_end_line(text);
    gilx_report_add_unreported(text, facts->unreported);
}

void gilx_loop_report(gilx_sampler *sampler, gilx_code_table *codes,
                      const gilx_loop_facts *facts, gilx_text *text,
                      gilx_stall_place *place) {
    *place = (gilx_stall_place){.tid = facts->tid};
    add_loop_head(text, facts);
    const uintptr_t state = gilx_report_state_of(sampler, facts->tid);
    if (sampler->free != NULL) {
        add_free_thread(sampler, codes, facts, state, text, place);
        return;
    }
    const gilx_activity activity =
        add_loop_thread(sampler, codes, facts, state, facts->tid, text, place);
    const uintptr_t holder = gilx_gil_holder(&sampler->words);
    if (activity == GILX_AWAITS_GIL && holder != 0 && holder != state) {
        const int64_t tid = gilx_report_tid(sampler, holder);
        (void)add_loop_thread(sampler, codes, facts, holder, tid, text, NULL);
    }
}

void gilx_loop_end_text(int64_t tid, int64_t length_ns, int64_t process, bool open,
                        gilx_text *text) {
    gilx_text_begin(text, process);
    gilx_text_add(text, open ? "the monitor was stopped while " : "");
    gilx_text_add(text, "the event loop of thread ");
    gilx_report_add_thread(text, process, tid);
    gilx_text_add(text, open ? " was blocked, for " : " was blocked for ");
    gilx_text_add_seconds(text, length_ns);
    gilx_text_add(text, open ? " so far" : "");
    gilx_text_end_line(text);
}
