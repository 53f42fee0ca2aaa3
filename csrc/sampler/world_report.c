#define _POSIX_C_SOURCE 200809L

#include "world_report.h"

#include <string.h>
#include <unistd.h>

#include "free_tracking.h"
#include "linux_threads.h"
#include "report_threads.h"
#include "sampler_state.h"

enum {
    MOST_ASKED = 64, /* threads of which Linux is asked what they do, */
    MOST_SHOWN = 16, /* and that a report shows */
};

/* ---- threads ---------------------------------------------------------------------- */

gilx_activity gilx_free_thread_does(gilx_sampler *sampler, uintptr_t state, int64_t tid,
                                    gilx_wait *wait) {
    static const gilx_lock_place NO_GIL = {0, 0};
    *wait = (gilx_wait){.kind = GILX_WAIT_UNKNOWN};
    const int file = sampler->totals.calls ? gilx_syscall_open(0, tid) : -1;
    if (file < 0) {
        return GILX_DOES_UNKNOWN;
    }
    char text[GILX_SYSCALL_SIZE];
    const bool there = gilx_syscall_read(file, text);
    close(file);
    const gilx_activity activity =
        there ? gilx_activity_of(text, &NO_GIL) : GILX_DOES_UNKNOWN;
    if (activity != GILX_AWAITS_LOCK) {
        return activity;
    }
    *wait = gilx_free_wait(&sampler->free->threads, &sampler->memory, gilx_futex_in(text),
                           state);
    return wait->kind == GILX_WAIT_WORLD ? GILX_STOPPED : activity;
}

/* Find out what a thread has to do with a stop. One that waits for the world has stopped
 * and sleeps until its state says otherwise; one that sleeps for another reason does not
 * notice that the world is stopped. */
static gilx_stop_thread thread_of(gilx_sampler *sampler, const gilx_world_words *words,
                                  uintptr_t state, int64_t tid, bool all, int *asked) {
    gilx_stop_thread one = {.state = state,
                            .tid = tid,
                            .role = GILX_STOP_OTHER,
                            .activity = GILX_DOES_UNKNOWN};
    const gilx_free_reading reading =
        gilx_free_read(&sampler->free->threads, &sampler->memory, state, tid);
    const bool asker = state == words->requester;
    const bool late = !asker && reading.known && reading.state == GILX_STATE_ATTACHED &&
                      !words->stopped;
    const bool may_wait = reading.known && reading.state == GILX_STATE_SUSPENDED;
    if ((asker || late || may_wait || all) && *asked < MOST_ASKED) {
        ++*asked;
        one.activity = gilx_free_thread_does(sampler, state, tid, &one.wait);
    }
    one.role = asker                                      ? GILX_STOP_ASKER
               : late                                     ? GILX_STOP_LATE
               : may_wait && one.activity == GILX_STOPPED ? GILX_STOP_AWAITED
                                                          : GILX_STOP_OTHER;
    return one;
}

int gilx_stop_threads(gilx_sampler *sampler, const gilx_world_words *words, bool all,
                      gilx_stop_thread *threads, int most) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state = 0;
    int count = 0, asked = 0;
    if (!gilx_memory_read(&sampler->memory, layout->first, &state, sizeof(state))) {
        return 0;
    }
    for (int i = 0; i < GILX_REPORT_STATES && state != 0 && count < most; ++i) {
        const int64_t tid = gilx_report_tid(sampler, state);
        const gilx_stop_thread one = thread_of(sampler, words, state, tid, all, &asked);
        if (tid != 0 && (all || one.role != GILX_STOP_OTHER)) {
            threads[count++] = one;
        }
        if (!gilx_report_read(sampler, state, layout->next, &state, sizeof(state))) {
            break;
        }
    }
    return count;
}

/* ---- text ------------------------------------------------------------------------- */

void gilx_report_add_free_words(gilx_sampler *sampler, gilx_text *text,
                                gilx_activity activity, const gilx_wait *wait) {
    char type[GILX_TYPE_NAME_SIZE];
    if (activity != GILX_AWAITS_LOCK) {
        const char *words = gilx_report_words(activity);
        gilx_text_add(text, words[0] == '\0' ? "" : " ");
        gilx_text_add(text, words);
    } else if (wait->kind == GILX_WAIT_MUTEX &&
               gilx_free_type_of(&sampler->free->threads, &sampler->memory, wait->address,
                                 type)) {
        gilx_text_add(text, " waits for the lock of a '");
        gilx_text_add_name(text, type);
        gilx_text_add(text, "'");
    } else {
        gilx_text_add(text, wait->kind == GILX_WAIT_EVENT ? " waits for an event"
                                                          : " waits for a lock");
    }
}

static void add_one(gilx_sampler *sampler, gilx_code_table *codes,
                    const gilx_stop_facts *facts, const gilx_stop_thread *one,
                    gilx_text *text, gilx_stall_place *place) {
    static const char *const ROLES[] = {" is late to stop and", " asked for the stop", "",
                                        ""};
    gilx_text_add(text, "Thread ");
    gilx_report_add_thread(text, facts->process, one->tid);
    const bool unknown = one->activity == GILX_DOES_UNKNOWN;
    if (one->role == GILX_STOP_LATE) {
        gilx_text_add(text, unknown ? " is late to stop" : ROLES[GILX_STOP_LATE]);
    } else {
        gilx_text_add(text, ROLES[one->role]);
    }
    if (one->role != GILX_STOP_ASKER) { /* that one waits for the others, or stops them */
        gilx_report_add_free_words(sampler, text, one->activity, &one->wait);
    }
    gilx_text_add(text, " (most recent call first):\n");
    gilx_report_add_steady_stack(sampler, codes, one->state, text, place);
}

static void add_head(gilx_text *text, const gilx_stop_facts *facts, int64_t asker,
                     uint32_t waiters) {
    gilx_text_begin(text, facts->process);
    gilx_text_add(text, "the stop of the world that ");
    if (asker == 0 || asker == facts->requester) {
        gilx_text_add(text, asker == 0 ? "a thread" : "gilx");
    } else {
        gilx_text_add(text, "thread ");
        gilx_report_add_thread(text, facts->process, asker);
    }
    gilx_text_add(text, " asked for has ");
    gilx_text_add(text, facts->again ? "still " : "");
    gilx_text_add(text, facts->words.stopped
                            ? "not ended after "
                            : "not begun, since a thread is late, after ");
    gilx_text_add_seconds(text, facts->length_ns);
    if (waiters == 0) {
        gilx_text_add(text, " (no thread waits)");
    } else {
        gilx_text_add(text, " (");
        gilx_text_add_number(text, waiters);
        gilx_text_add(text, waiters == 1 ? " thread waits)" : " threads wait)");
    }
    gilx_text_end_line(text);
    gilx_report_add_unreported(text, facts->unreported);
}

void gilx_world_report(gilx_sampler *sampler, gilx_code_table *codes,
                       const gilx_stop_facts *facts, gilx_text *text,
                       gilx_stall_place *place, uint32_t *waiters) {
    gilx_stop_thread threads[MOST_ASKED] = {{0}};
    const int count =
        gilx_stop_threads(sampler, &facts->words, facts->all, threads, MOST_ASKED);
    int64_t asker = 0;
    bool late = false;
    *waiters = 0;
    *place = (gilx_stall_place){.tid = 0};
    for (int i = 0; i < count; ++i) {
        const bool own = threads[i].tid == facts->requester;
        asker = threads[i].role == GILX_STOP_ASKER ? threads[i].tid : asker;
        late = late || threads[i].role == GILX_STOP_LATE;
        *waiters += threads[i].role == GILX_STOP_AWAITED && !own;
    }
    *waiters += late && asker != 0 && asker != facts->requester;
    add_head(text, facts, asker, *waiters);
    int shown = 0, hidden = 0;
    for (gilx_stop_role role = GILX_STOP_LATE; role <= GILX_STOP_OTHER; ++role) {
        for (int i = 0; i < count; ++i) {
            const gilx_stop_thread *one = &threads[i];
            if (one->role != role || one->tid == facts->requester) {
                continue;
            }
            hidden += shown == MOST_SHOWN;
            if (shown == MOST_SHOWN) {
                continue;
            }
            if (place->tid == 0) {
                place->tid = one->tid;
                place->awaits_lock = late && one->activity == GILX_AWAITS_LOCK;
                add_one(sampler, codes, facts, one, text, place);
            } else {
                add_one(sampler, codes, facts, one, text, NULL);
            }
            ++shown;
        }
    }
    if (hidden > 0) {
        gilx_text_add(text, "Threads that are not shown: ");
        gilx_text_add_number(text, hidden);
        gilx_text_add(text, "\n");
    }
}
