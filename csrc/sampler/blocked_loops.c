#define _POSIX_C_SOURCE 200809L

#include "monitor_state.h"

#include <stdatomic.h>

/* Return whether a loop is still in the turn that was read before. */
static bool still_out(const gilx_loop *loop, const gilx_open_loop *open) {
    int64_t tid;
    uint64_t turn;
    return gilx_loop_is_out(loop, &tid, &turn) && tid == open->tid && turn == open->turn;
}

/* Report on a loop. Returns whether it was still blocked when its stack had been read. */
static bool report(gilx_sampler *sampler, const gilx_loop *loop, gilx_open_loop *open,
                   int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &open->stall;
    const gilx_loop_facts facts = {
        .tid = open->tid,
        .length_ns = at_ns - stall->since_ns,
        .again = stall->record >= 0,
        .unreported = monitor->counts[GILX_LOOP_STALL].unreported,
        .process = (int64_t)sampler->process,
    };
    gilx_stall_place place;
    gilx_loop_report(sampler, monitor->codes, &facts, &monitor->text, &place);
    if (!still_out(loop, open)) { /* what was read may belong to other calls */
        return false;
    }
    gilx_stall_write(sampler, GILX_LOOP_STALL, stall, &place, facts.length_ns);
    return true;
}

static void end(gilx_sampler *sampler, gilx_open_loop *open, int64_t at_ns) {
    gilx_open_stall *stall = &open->stall;
    if (stall->record >= 0) {
        gilx_loop_end_text(open->tid, at_ns - stall->since_ns, (int64_t)sampler->process,
                           false, &sampler->monitor->text);
    }
    gilx_stall_end(sampler, stall, at_ns);
}

static void follow(gilx_sampler *sampler, const gilx_loop *loop, gilx_open_loop *open,
                   int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    gilx_open_stall *stall = &open->stall;
    if (stall->active && !still_out(loop, open)) {
        end(sampler, open, at_ns);
    }
    if (!stall->active) {
        if (!gilx_loop_is_out(loop, &open->tid, &open->turn)) {
            return;
        }
        gilx_stall_begin(stall, monitor->looked_ns, at_ns, monitor->options.loop_ns);
        return;
    }
    gilx_stall_go_on(sampler, stall, at_ns);
    if (gilx_stall_is_due(sampler, GILX_LOOP_STALL, stall, at_ns)) {
        const bool reported =
            gilx_stall_may_be_reported(monitor, GILX_LOOP_STALL, stall) &&
            report(sampler, loop, open, at_ns);
        gilx_stall_next(monitor, GILX_LOOP_STALL, stall, reported);
    }
}

/* Return how many places may have a loop. */
static int places(const gilx_monitor *monitor) {
    return monitor->options.loop_ns > 0 ? atomic_load(&monitor->options.loops->used) : 0;
}

void gilx_loops_look(gilx_sampler *sampler, int64_t at_ns) {
    gilx_monitor *monitor = sampler->monitor;
    const int count = places(monitor);
    for (int i = 0; i < count; ++i) {
        follow(sampler, &monitor->options.loops->loops[i], &monitor->loops[i], at_ns);
    }
}

void gilx_loops_end(gilx_sampler *sampler) {
    gilx_monitor *monitor = sampler->monitor;
    const int count = places(monitor);
    for (int i = 0; i < count; ++i) {
        gilx_open_loop *open = &monitor->loops[i];
        if (gilx_stall_is_open(&open->stall)) {
            gilx_loop_end_text(open->tid, monitor->looked_ns - open->stall.since_ns,
                               (int64_t)sampler->process, true, &monitor->text);
            gilx_stall_leave_open(sampler, &open->stall);
        }
    }
}

int64_t gilx_loops_due(const gilx_monitor *monitor) {
    int64_t due = INT64_MAX;
    const int count = places(monitor);
    for (int i = 0; i < count; ++i) {
        const int64_t one = gilx_stall_due(&monitor->loops[i].stall);
        due = one < due ? one : due;
    }
    return due;
}
