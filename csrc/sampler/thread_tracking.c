#define _POSIX_C_SOURCE 200809L

#include "sampler_state.h"

#include <errno.h>

#include "../platform/clock.h"
#include "linux_threads.h"
#include "nested_ids.h"
#include "safe_memory.h"

enum {
    MOST_STATES = 1 << 16, /* thread states of one interpreter, in case a list is torn */
    /* Each sample reads the CPU clocks of the threads that were active in one of so many
     * samples before, as many as fit, and of some others in turn. */
    ACTIVE_SAMPLES = 16,
    OTHERS_PER_SAMPLE = 2,
    STEPS_PER_SAMPLE = 32, /* through the table, for those others */
};

/* Copy a word of a thread state, which may be gone. */
static bool read_state(gilx_sampler *sampler, uintptr_t state, int64_t offset, void *to,
                       size_t size) {
    const void *from = (const void *)(state + (uintptr_t)offset);
    return offset != 0 && gilx_memory_read(&sampler->memory, from, to, size);
}

/* Return the native id that a thread state gives, 0 if it can't be read. */
static int64_t tid_in(gilx_sampler *sampler, uintptr_t state) {
    unsigned long tid;
    if (!read_state(sampler, state, sampler->options.states.tid, &tid, sizeof(tid)) ||
        tid > INT32_MAX) {
        return 0;
    }
    return sampler->nested == NULL ? (int64_t)tid
                                   : gilx_outer_id(sampler->nested, (int64_t)tid);
}

/* Poll a thread in the next samples as well, if there is a place for it. */
static void keep_active(gilx_sampler *sampler, int place) {
    const gilx_watched_thread *threads = sampler->table.threads;
    int idlest = 0;
    for (int i = 0; i < sampler->active_count; ++i) {
        if (sampler->active[i] == place) {
            return;
        }
        if (threads[sampler->active[i]].active <
            threads[sampler->active[idlest]].active) {
            idlest = i;
        }
    }
    if (sampler->active_count < GILX_MOST_ACTIVE) {
        sampler->active[sampler->active_count++] = place;
    } else if (threads[sampler->active[idlest]].active + ACTIVE_SAMPLES <
               sampler->totals.wakes) {
        sampler->active[idlest] = place;
    }
}

/* Ask a thread what it does, in turn with all that are there. */
static void add_alive(gilx_sampler *sampler, int place) {
    if (sampler->alive_count < GILX_THREADS) {
        sampler->alive[sampler->alive_count++] = (uint16_t)place;
    }
}

/* Add a thread that is there; return its place, or GILX_UNKNOWN_THREAD. */
static int add_thread(gilx_sampler *sampler, int64_t tid, bool holds) {
    const int64_t cpu = gilx_cpu_ns_of(sampler->words.process, tid);
    const int place =
        cpu < 0 ? GILX_UNKNOWN_THREAD : gilx_thread_add(&sampler->table, tid, holds);
    if (place != GILX_UNKNOWN_THREAD) {
        gilx_watched_thread *thread = &sampler->table.threads[place];
        thread->started = gilx_start_of(sampler->words.process, tid);
        thread->does = gilx_no_activities(sampler->totals.counted);
        thread->cpu_ns = cpu;
        thread->read_ns = gilx_now_ns();
        add_alive(sampler, place);
    }
    return place;
}

/* Return the place of a thread that is there, which is added if it is new: if its native
 * id is, or if a thread that was started at another time had it before. */
static int place_of(gilx_sampler *sampler, int64_t tid, bool holds) {
    const int place = gilx_thread_place(&sampler->table, tid);
    if (place != GILX_UNKNOWN_THREAD) {
        gilx_watched_thread *thread = &sampler->table.threads[place];
        const int64_t started = gilx_start_of(sampler->words.process, tid);
        if (started == thread->started || started == 0 || thread->started == 0) {
            thread->ended = false;
            return place;
        }
        gilx_thread_forget(&sampler->table, tid);
    }
    return add_thread(sampler, tid, holds);
}

int gilx_place_of_holder(gilx_sampler *sampler, uintptr_t state) {
    const int64_t tid = tid_in(sampler, state), where = sampler->options.states.id;
    uint64_t id = 0;
    if (tid == 0 || (where != 0 && !read_state(sampler, state, where, &id, sizeof(id)))) {
        return GILX_UNKNOWN_THREAD;
    }
    int place = gilx_thread_place(&sampler->table, tid);
    /* Without the id, only the thread itself shows whether it is another one. */
    if (where == 0 || place == GILX_UNKNOWN_THREAD ||
        sampler->table.threads[place].state != state ||
        sampler->table.threads[place].state_id != id) {
        place = place_of(sampler, tid, true);
    }
    if (place != GILX_UNKNOWN_THREAD) {
        sampler->table.threads[place].state = state;
        sampler->table.threads[place].state_id = id;
    }
    return place;
}

/* Leave out a thread that is another sampler's: it had no name yet when it was added. */
static bool leave_out(gilx_sampler *sampler, gilx_watched_thread *thread) {
    const bool other = !thread->named && gilx_is_named(sampler->words.process,
                                                       thread->tid, GILX_SAMPLER_NAME);
    thread->named = true;
    if (other) {
        gilx_close_files_of(sampler, thread);
        thread->does = gilx_no_activities(sampler->totals.counted);
        thread->ended = true;
    }
    return other;
}

/* Add a thread of the process to the table, and follow it: new threads are active ones.
 */
static void add_if_new(void *context, int64_t tid) {
    gilx_sampler *sampler = context;
    const int known = gilx_thread_place(&sampler->table, tid);
    if (known != GILX_UNKNOWN_THREAD && !sampler->table.threads[known].ended) {
        if (!leave_out(sampler, &sampler->table.threads[known])) {
            add_alive(sampler, known);
        }
    } else if (tid != sampler->own_tid &&
               !gilx_is_named(sampler->words.process, tid, GILX_SAMPLER_NAME)) {
        if (sampler->nested != NULL) {
            gilx_nested_ids_add(sampler->nested, tid);
        }
        const int place = place_of(sampler, tid, false);
        if (place != GILX_UNKNOWN_THREAD) {
            /* Those that were there before the first sample have their names. */
            sampler->table.threads[place].named = sampler->totals.wakes == 0;
        }
        if (place != GILX_UNKNOWN_THREAD && sampler->totals.wakes > 0) {
            sampler->table.threads[place].active = sampler->totals.wakes;
            keep_active(sampler, place);
        }
    }
}

/* Find the thread states of threads that have not held the GIL in any sample: they say
 * where a thread waits, and perhaps for what. The list may change meanwhile: an entry is
 * believed only if it names a thread that is there. */
static void find_states(gilx_sampler *sampler) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state;
    if (layout->first == NULL ||
        !gilx_memory_read(&sampler->memory, layout->first, &state, sizeof(state))) {
        return;
    }
    for (int i = 0; i < MOST_STATES && state != 0; ++i) {
        const int64_t tid = tid_in(sampler, state);
        const int place = gilx_thread_place(&sampler->table, tid);
        if (tid != 0 && place != GILX_UNKNOWN_THREAD &&
            sampler->table.threads[place].state == 0) {
            sampler->table.threads[place].state = state;
        }
        if (!read_state(sampler, state, layout->next, &state, sizeof(state))) {
            return;
        }
    }
    for (int i = 0; i < sampler->alive_count; ++i) {
        gilx_watched_thread *thread = &sampler->table.threads[sampler->alive[i]];
        thread->does.stateless = thread->state == 0 ? thread->does.stateless + 1 : 0;
    }
}

/* Take the threads that have ended out of a monitor's table, so that it does not fill in
 * days. Of a thread that left the table, only the sums of all such are kept. */
static void drop_ended(gilx_sampler *sampler) {
    static const uint16_t STAYS = 0;
    gilx_thread_table *table = &sampler->table;
    uint16_t *places = sampler->new_places;
    for (int i = 0; i < table->count; ++i) {
        const bool gone =
            i != GILX_WATCHED && (sampler->alive_count > 0 || table->threads[i].ended);
        places[i] = gone ? GILX_UNKNOWN_THREAD : STAYS;
    }
    for (int i = 0; i < sampler->alive_count; ++i) {
        places[sampler->alive[i]] = STAYS;
    }
    for (int i = 0; i < table->count; ++i) {
        if (places[i] == GILX_UNKNOWN_THREAD) {
            gilx_close_files_of(sampler, &table->threads[i]);
            gilx_activities_join(&sampler->ended, &table->threads[i].does);
            ++sampler->ended_threads;
        }
    }
    gilx_thread_table_shrink(table, places);
    int kept = 0;
    for (int i = 0; i < sampler->active_count; ++i) {
        if (places[sampler->active[i]] != GILX_UNKNOWN_THREAD) {
            sampler->active[kept++] = places[sampler->active[i]];
        }
    }
    sampler->active_count = kept;
    kept = 0;
    for (int i = 0; i < sampler->held_count; ++i) {
        if (places[sampler->held[i].place] != GILX_UNKNOWN_THREAD) {
            sampler->held[kept] = sampler->held[i];
            sampler->held[kept++].place = places[sampler->held[i].place];
        }
    }
    sampler->held_count = kept;
    for (int i = 0; i < sampler->alive_count; ++i) {
        sampler->alive[i] = places[sampler->alive[i]];
    }
    sampler->next_other = 0;
}

/* Drop those that have ended if there are twice as many threads as after the last time.
 */
static void drop_ended_if_many(gilx_sampler *sampler) {
    const int most = GILX_THREADS_LISTED - 1;
    if (sampler->monitor == NULL || sampler->table.count < sampler->shrink_at) {
        return;
    }
    drop_ended(sampler);
    const int next = 2 * sampler->table.count;
    sampler->shrink_at = next < GILX_THREADS_KEPT ? GILX_THREADS_KEPT
                         : next > most            ? most
                                                  : next;
}

void gilx_list_threads(gilx_sampler *sampler) {
    sampler->alive_count = 0;
    const int status = gilx_each_thread(sampler->words.process, add_if_new, sampler);
    const bool gone =
        sampler->words.process != 0 && (status == ENOENT || status == ESRCH);
    if (status != 0 && !gone) {
        sampler->totals.unread_errno = status;
    }
    drop_ended_if_many(sampler);
    find_states(sampler);
}

uint8_t gilx_share_of(double part, double whole) {
    const double share = whole > 0 ? part / whole : 0, most = GILX_MOST_SHARE;
    return (uint8_t)(most * (share < 0 ? 0 : share > 1 ? 1 : share) + 0.5);
}

void gilx_poll_thread(gilx_sampler *sampler, int place, gilx_sample *sample) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    const int64_t number = sampler->totals.wakes;
    if (thread->polled == number || thread->ended || sample->clocks == GILX_CLOCKS_KEPT ||
        sampler->words.process != 0) { /* its clocks are not exact enough */
        return;
    }
    thread->polled = number;
    const int64_t cpu = gilx_cpu_ns_of(sampler->words.process, thread->tid);
    if (cpu < thread->cpu_ns) { /* it has gone, and another one may have its native id */
        thread->ended = true;
        return;
    }
    const uint8_t share = gilx_share_of((double)(cpu - thread->cpu_ns),
                                        (double)(sample->at_ns - thread->read_ns));
    if (share > GILX_MOST_SHARE / 20) {
        thread->active = number;
    }
    sample->ran[sample->clocks++] = (gilx_share){(uint16_t)place, share};
    thread->cpu_ns = cpu;
    thread->read_ns = sample->at_ns;
}

bool gilx_has_state(gilx_sampler *sampler, int place) {
    const gilx_watched_thread *thread = &sampler->table.threads[place];
    return thread->state != 0 && tid_in(sampler, thread->state) == thread->tid;
}

bool gilx_wants_gil(gilx_sampler *sampler, int place, bool *wants) {
    const gilx_watched_thread *thread = &sampler->table.threads[place];
    int word;
    if (sampler->options.states.waits == 0 || !gilx_has_state(sampler, place) ||
        !read_state(sampler, thread->state, sampler->options.states.waits, &word,
                    sizeof(word))) {
        return false;
    }
    *wants = word == 1;
    return true;
}

void gilx_note_active(gilx_sampler *sampler, int place) {
    sampler->table.threads[place].active = sampler->totals.wakes;
    keep_active(sampler, place);
}

void gilx_poll_others(gilx_sampler *sampler, gilx_sample *sample) {
    const gilx_watched_thread *threads = sampler->table.threads;
    const int64_t number = sampler->totals.wakes;
    for (int i = 0; i < sampler->active_count; ++i) {
        gilx_poll_thread(sampler, sampler->active[i], sample);
    }
    int polled = 0;
    for (int i = 0;
         i < STEPS_PER_SAMPLE && i < sampler->table.count && polled < OTHERS_PER_SAMPLE;
         ++i) {
        const int place = sampler->next_other++ % sampler->table.count;
        sampler->next_other %= sampler->table.count;
        if (threads[place].polled != number && !threads[place].ended) {
            gilx_poll_thread(sampler, place, sample);
            ++polled;
            if (threads[place].active == number) {
                keep_active(sampler, place);
            }
        }
    }
}
