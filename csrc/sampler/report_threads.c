#define _POSIX_C_SOURCE 200809L

#include "report_threads.h"

#include <string.h>

#include "linux_threads.h"
#include "safe_memory.h"
#include "sampler_state.h"
#include "thread_names.h"
#include "waiting_frame.h"

enum { MOST_FRAMES = 48 }; /* of each thread */

/* ---- threads ---------------------------------------------------------------------- */

bool gilx_report_read(gilx_sampler *sampler, uintptr_t state, int64_t offset, void *to,
                      size_t size) {
    const void *from = (const void *)(state + (uintptr_t)offset);
    return offset != 0 && state != 0 &&
           gilx_memory_read(&sampler->memory, from, to, size);
}

int64_t gilx_report_tid(gilx_sampler *sampler, uintptr_t state) {
    unsigned long tid = 0;
    return gilx_report_read(sampler, state, sampler->options.states.tid, &tid,
                            sizeof(tid)) &&
                   tid <= INT32_MAX
               ? (int64_t)tid
               : 0;
}

uintptr_t gilx_report_state_of(gilx_sampler *sampler, int64_t tid) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state = 0;
    if (layout->first == NULL) { /* then those of some threads are known */
        const int place = gilx_thread_place(&sampler->table, tid);
        return place != GILX_UNKNOWN_THREAD && gilx_has_state(sampler, place)
                   ? sampler->table.threads[place].state
                   : 0;
    }
    (void)gilx_memory_read(&sampler->memory, layout->first, &state, sizeof(state));
    for (int i = 0; i < GILX_REPORT_STATES && state != 0; ++i) {
        if (gilx_report_tid(sampler, state) == tid) {
            return state;
        }
        if (!gilx_report_read(sampler, state, layout->next, &state, sizeof(state))) {
            return 0;
        }
    }
    return 0;
}

const char *gilx_report_words(gilx_activity activity) {
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
    case GILX_STOPPED:
        return "waits until the world goes on";
    default:
        return "";
    }
}

void gilx_report_add_thread(gilx_text *text, int64_t process, int64_t tid) {
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

void gilx_report_add_stack(gilx_sampler *sampler, gilx_code_table *codes, uintptr_t state,
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

void gilx_report_add_steady_stack(gilx_sampler *sampler, gilx_code_table *codes,
                                  uintptr_t state, gilx_text *text,
                                  gilx_stall_place *place) {
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

void gilx_report_add_unreported(gilx_text *text, int64_t count) {
    if (count > 0) {
        gilx_text_add(text, "Stalls since the last report without one of their own: ");
        gilx_text_add_number(text, count);
        gilx_text_add(text, "\n");
    }
}
