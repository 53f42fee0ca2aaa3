#define _POSIX_C_SOURCE 200809L

#include "stall_report.h"

#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "linux_threads.h"
#include "safe_memory.h"
#include "sampler_state.h"
#include "thread_activity.h"
#include "thread_names.h"
#include "waiting_frame.h"

enum {
    MOST_STATES = 1 << 12, /* thread states that are gone through */
    MOST_THREADS = 64,     /* of which it is found out what they do, */
    MOST_SHOWN = 16,       /* and with a stack in the report */
    MOST_FRAMES = 48,      /* of each thread */
};

/* ---- threads ---------------------------------------------------------------------- */

/* A thread with a Python state. */
typedef struct {
    uintptr_t state;
    int64_t tid;
    gilx_activity activity;
} thread_found;

static bool read_state(gilx_sampler *sampler, uintptr_t state, int64_t offset, void *to,
                       size_t size) {
    const void *from = (const void *)(state + (uintptr_t)offset);
    return offset != 0 && state != 0 &&
           gilx_memory_read(&sampler->memory, from, to, size);
}

static int64_t tid_in(gilx_sampler *sampler, uintptr_t state) {
    unsigned long tid = 0;
    return read_state(sampler, state, sampler->options.states.tid, &tid, sizeof(tid)) &&
                   tid <= INT32_MAX
               ? (int64_t)tid
               : 0;
}

/* Find out what a thread does, as far as Python or Linux says that. */
static gilx_activity activity_of(gilx_sampler *sampler, uintptr_t state, int64_t tid) {
    int wants = 0;
    if (read_state(sampler, state, sampler->options.states.waits, &wants,
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
    const int64_t holder = tid_in(sampler, facts->holder);
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
    for (int i = 0; i < MOST_STATES && state != 0; ++i) {
        add_thread(sampler, facts, state, tid_in(sampler, state), list);
        if (!read_state(sampler, state, layout->next, &state, sizeof(state))) {
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

static const char *words_for(gilx_activity activity) {
    switch (activity) {
    case GILX_AWAITS_GIL:
        return "waits for the GIL";
    case GILX_AWAITS_LOCK:
        return "waits for another lock";
    case GILX_SLEEPS:
        return "sleeps";
    case GILX_READS:
        return "reads or receives";
    case GILX_POLLS:
        return "waits for files or connections";
    case GILX_AWAITS_CHILD:
        return "waits for a process";
    case GILX_CALLS_SYSTEM:
        return "is in a system call";
    case GILX_ON_CPU:
        return "runs";
    default:
        return "";
    }
}

/* Add a thread's number and name. */
static void add_thread_words(gilx_text *text, int64_t process, int64_t tid) {
    char name[GILX_PYTHON_NAME_SIZE];
    gilx_text_add_number(text, tid);
    if (tid == process) {
        gilx_text_add(text, " (main thread)");
    } else if (gilx_find_thread_name(tid, name) || gilx_thread_name(tid, name)) {
        gilx_text_add(text, " (");
        gilx_text_add_name(text, name);
        gilx_text_add(text, ")");
    }
}

/* Add the line above a thread's stack. */
static void add_thread_line(gilx_text *text, int64_t process, int64_t tid, bool holds,
                            gilx_activity activity) {
    const char *does = words_for(activity);
    gilx_text_add(text, "Thread ");
    add_thread_words(text, process, tid);
    gilx_text_add(text, holds ? " holds the GIL" : "");
    gilx_text_add(text, does[0] == '\0' ? "" : holds ? " and " : " ");
    gilx_text_add(text, does);
    gilx_text_add(text, " (most recent call first):\n");
}

/* ---- stacks ----------------------------------------------------------------------- */

static void add_frame(gilx_text *text, const gilx_code_table *codes, int spot) {
    if (spot < 0) {
        gilx_text_add(text, "  (code that can't be read)\n");
        return;
    }
    const gilx_spot *at = gilx_spot_at(codes, spot);
    const gilx_function *function = gilx_function_at(codes, at->function);
    gilx_text_add(text, "  File \"");
    gilx_text_add_name(text, function->file);
    gilx_text_add(text, "\", line ");
    gilx_text_add_number(text, at->line > 0 ? at->line : function->first_line);
    gilx_text_add(text, " in ");
    gilx_text_add_name(text, function->name);
    gilx_text_add(text, "\n");
}

static void note_place(const gilx_code_table *codes, int spot, gilx_stall_place *place) {
    if (spot >= 0) {
        const gilx_spot *at = gilx_spot_at(codes, spot);
        const gilx_function *function = gilx_function_at(codes, at->function);
        strncpy(place->function, function->name, sizeof(place->function) - 1);
        strncpy(place->file, function->file, sizeof(place->file) - 1);
        place->line = at->line;
    }
}

/* Return the spot of a frame. A full table is emptied: nothing refers to it later. */
static int spot_of(gilx_sampler *sampler, gilx_code_table *codes,
                   const gilx_frame *frame) {
    int spot = gilx_code_spot(codes, &sampler->memory, frame->code, frame->instruction);
    if (spot == GILX_SPOT_OTHER) {
        gilx_code_table_clear(codes);
        spot = gilx_code_spot(codes, &sampler->memory, frame->code, frame->instruction);
    }
    return spot;
}

/* Add frames; `place` is NULL unless it is where the innermost one is. */
static void add_frames(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_frame *frames, int count, bool complete,
                       gilx_text *text, gilx_stall_place *place) {
    for (int i = 0; i < count; ++i) {
        const int spot = spot_of(sampler, codes, &frames[i]);
        if (i == 0 && place != NULL) {
            note_place(codes, spot, place);
        }
        add_frame(text, codes, spot);
    }
    if (count == 0) {
        gilx_text_add(text, complete ? "  (no Python code)\n"
                                     : "  (the stack can't be read)\n");
    } else if (!complete) {
        gilx_text_add(text, "  (more calls)\n");
    }
}

/* Add the stack of a thread that runs no Python code meanwhile; `place` is NULL unless it
 * is the holder's. */
static void add_stack(gilx_sampler *sampler, gilx_code_table *codes, uintptr_t state,
                      gilx_text *text, gilx_stall_place *place) {
    if (codes == NULL) {
        gilx_text_add(text, "  (Python's stacks can't be read here)\n");
        return;
    }
    gilx_frame frames[MOST_FRAMES];
    bool complete;
    const int count = gilx_waiting_stack(sampler->options.stacks, &sampler->memory, state,
                                         frames, MOST_FRAMES, &complete);
    add_frames(sampler, codes, frames, count, complete, text, place);
}

/* Add the stack of a thread that may run Python code meanwhile, as far as it stays. */
static void add_steady_stack(gilx_sampler *sampler, gilx_code_table *codes,
                             uintptr_t state, gilx_text *text, gilx_stall_place *place) {
    if (codes == NULL) {
        gilx_text_add(text, "  (Python's stacks can't be read here)\n");
        return;
    }
    gilx_frame frames[MOST_FRAMES];
    bool inner, complete;
    const int count = gilx_steady_stack(sampler->options.stacks, &sampler->memory, state,
                                        frames, MOST_FRAMES, &inner, &complete);
    if (inner) {
        gilx_text_add(text, "  (calls that ended while they were read)\n");
    }
    add_frames(sampler, codes, frames, count, complete, text, place);
}

static void add_unreported(gilx_text *text, int64_t count) {
    if (count > 0) {
        gilx_text_add(text, "Stalls since the last report without one of their own: ");
        gilx_text_add_number(text, count);
        gilx_text_add(text, "\n");
    }
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
    add_unreported(text, facts->unreported);
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
    place->tid = tid_in(sampler, facts->holder);
    const gilx_activity activity = activity_of(sampler, facts->holder, place->tid);
    place->awaits_lock = activity == GILX_AWAITS_LOCK;
    add_thread_line(text, facts->process, place->tid, true, activity);
    add_collector(sampler, text);
    add_stack(sampler, codes, facts->holder, text, place);
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
        add_stack(sampler, codes, threads[i].state, text, NULL);
    }
    if (count > MOST_SHOWN) {
        gilx_text_add(text, "Threads that are not shown: ");
        gilx_text_add_number(text, count - MOST_SHOWN);
        gilx_text_add(text, "\n");
    }
}

/* ---- event loops ------------------------------------------------------------------ */

/* Return the Python state of a thread, 0 if it is not known. */
static uintptr_t state_of(gilx_sampler *sampler, int64_t tid) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state = 0;
    if (layout->first == NULL) { /* then those of some threads are known */
        const int place = gilx_thread_place(&sampler->table, tid);
        return place != GILX_UNKNOWN_THREAD && gilx_has_state(sampler, place)
                   ? sampler->table.threads[place].state
                   : 0;
    }
    (void)gilx_memory_read(&sampler->memory, layout->first, &state, sizeof(state));
    for (int i = 0; i < MOST_STATES && state != 0; ++i) {
        if (tid_in(sampler, state) == tid) {
            return state;
        }
        if (!read_state(sampler, state, layout->next, &state, sizeof(state))) {
            return 0;
        }
    }
    return 0;
}

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
    add_steady_stack(sampler, codes, state, text, place);
    return activity;
}

static void add_loop_head(gilx_text *text, const gilx_loop_facts *facts) {
    gilx_text_begin(text, facts->process);
    gilx_text_add(text, "the event loop of thread ");
    add_thread_words(text, facts->process, facts->tid);
    gilx_text_add(text, facts->again ? " has still not returned to its selector after "
                                     : " has not returned to its selector for ");
    gilx_text_add_seconds(text, facts->length_ns);
    gilx_text_end_line(text);
    add_unreported(text, facts->unreported);
}

void gilx_loop_report(gilx_sampler *sampler, gilx_code_table *codes,
                      const gilx_loop_facts *facts, gilx_text *text,
                      gilx_stall_place *place) {
    *place = (gilx_stall_place){.tid = facts->tid};
    add_loop_head(text, facts);
    const uintptr_t state = state_of(sampler, facts->tid);
    const gilx_activity activity =
        add_loop_thread(sampler, codes, facts, state, facts->tid, text, place);
    const uintptr_t holder = gilx_gil_holder(&sampler->words);
    if (activity == GILX_AWAITS_GIL && holder != 0 && holder != state) {
        const int64_t tid = tid_in(sampler, holder);
        (void)add_loop_thread(sampler, codes, facts, holder, tid, text, NULL);
    }
}

void gilx_loop_end_text(int64_t tid, int64_t length_ns, int64_t process, bool open,
                        gilx_text *text) {
    gilx_text_begin(text, process);
    gilx_text_add(text, open ? "the monitor was stopped while " : "");
    gilx_text_add(text, "the event loop of thread ");
    add_thread_words(text, process, tid);
    gilx_text_add(text, open ? " was blocked, for " : " was blocked for ");
    gilx_text_add_seconds(text, length_ns);
    gilx_text_add(text, open ? " so far" : "");
    gilx_text_end_line(text);
}
