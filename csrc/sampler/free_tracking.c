#define _POSIX_C_SOURCE 200809L

#include "free_tracking.h"

#include <limits.h>
#include <string.h>

#include "../platform/clock.h"
#include "../platform/touched_memory.h"
#include "linux_threads.h"

enum { MOST_ASKED = 64 }; /* threads that are asked whether they are late, in a sample */

gilx_free_tracking *gilx_free_tracking_new(const gilx_free_threads *threads) {
    gilx_free_tracking *tracking =
        gilx_allocate_touched(sizeof(*tracking), sizeof(*tracking));
    if (tracking != NULL) {
        tracking->threads = *threads;
        tracking->asker = GILX_UNKNOWN_THREAD;
        gilx_lock_table_begin(&tracking->locks);
        tracking->lock = gilx_lock_unknown();
    }
    return tracking;
}

/* ---- stops of the world ----------------------------------------------------------- */

/* Words of one thread, as they are copied. */
typedef struct {
    unsigned long tid;
    int state;
} thread_words;

static int site_of(gilx_sampler *sampler, uintptr_t state) {
    return sampler->sites == NULL
               ? GILX_SITE_UNKNOWN
               : gilx_sites_of_wait(sampler->sites, &sampler->memory, state);
}

static gilx_world_words words_in(const unsigned char *copy) {
    gilx_world_words words;
    memcpy(&words, copy, sizeof(words));
    return words;
}

static bool is_stopping(const gilx_world_words *words, uintptr_t requester) {
    return words->requested == 1 && words->stopped == 0 && words->requester == requester;
}

/* Find the threads for which a stop waits: those that are attached, other than the one
 * that asked for it. They are read in one system call between two readings of the words:
 * the stop must go on in both. */
static void find_late(gilx_sampler *sampler) {
    enum { WORDS = 2 };
    gilx_free_tracking *tracking = sampler->free;
    const gilx_free_threads *threads = &tracking->threads;
    const uintptr_t requester = tracking->burst.requester;
    gilx_range ranges[WORDS * MOST_ASKED + WORDS];
    int places[MOST_ASKED];
    int count = 0, asked = 0;
    ranges[count++] = (gilx_range){threads->world, sizeof(gilx_world_words)};
    for (int i = 0; i < sampler->alive_count && asked < MOST_ASKED; ++i) {
        const gilx_watched_thread *thread = &sampler->table.threads[sampler->alive[i]];
        if (thread->state == 0 || thread->ended || thread->state == requester) {
            continue;
        }
        places[asked++] = sampler->alive[i];
        ranges[count++] = (gilx_range){thread->state + (uintptr_t)threads->states.tid,
                                       sizeof(unsigned long)};
        ranges[count++] =
            (gilx_range){thread->state + (uintptr_t)threads->places.state, sizeof(int)};
    }
    ranges[count++] = (gilx_range){threads->world, sizeof(gilx_world_words)};
    unsigned char copy[2 * sizeof(gilx_world_words) + MOST_ASKED * sizeof(thread_words)];
    const size_t each = sizeof(unsigned long) + sizeof(int);
    const size_t second = sizeof(gilx_world_words) + (size_t)asked * each;
    if (gilx_memory_copy(&sampler->memory, ranges, count, copy) !=
        second + sizeof(gilx_world_words)) {
        return; /* a thread has ended */
    }
    const gilx_world_words before = words_in(copy), after = words_in(copy + second);
    if (!is_stopping(&before, requester) || !is_stopping(&after, requester)) {
        return;
    }
    for (int i = 0; i < asked && tracking->late_count < GILX_LATE_KEPT; ++i) {
        const unsigned char *words = copy + sizeof(gilx_world_words) + (size_t)i * each;
        const gilx_watched_thread *thread = &sampler->table.threads[places[i]];
        unsigned long tid;
        int state;
        memcpy(&tid, words, sizeof(tid));
        memcpy(&state, words + sizeof(tid), sizeof(state));
        if (tid == (unsigned long)thread->tid && state == GILX_STATE_ATTACHED) {
            tracking->late[tracking->late_count] = places[i];
            tracking->late_sites[tracking->late_count++] =
                site_of(sampler, thread->state);
        }
    }
}

/* Note whether the GIL is on for good by now; if the process has ended, nothing changes.
 * The word is a count of imports for which it is on for a moment, or INT_MAX (CPython:
 * Include/internal/pycore_gil.h). */
static void read_gil_enabled(gilx_sampler *sampler) {
    const void *place = sampler->free->threads.gil_enabled;
    int enabled;
    if (place != NULL &&
        gilx_memory_read(&sampler->memory, place, &enabled, sizeof(enabled))) {
        sampler->free->gil_enabled = enabled == INT_MAX;
    }
}

int64_t gilx_free_sample_world(gilx_sampler *sampler, int64_t length) {
    gilx_free_tracking *tracking = sampler->free;
    const int64_t begin = atomic_load_explicit(&sampler->begin_ns, memory_order_acquire);
    read_gil_enabled(sampler);
    tracking->own = gilx_free_read_thread(sampler, GILX_WATCHED);
    tracking->burst = (gilx_world_burst){.reads = 0};
    tracking->late_count = 0;
    tracking->asker = GILX_UNKNOWN_THREAD;
    tracking->asker_site = GILX_SITE_UNKNOWN;
    if (tracking->threads.world == 0) {
        return gilx_now_ns();
    }
    const int64_t now = gilx_world_read(
        sampler->words.process == 0 ? NULL : &sampler->memory, tracking->threads.world,
        length, begin, &tracking->bounds, &tracking->burst);
    if (tracking->burst.stopping_now && tracking->burst.requester != 0) {
        find_late(sampler);
    }
    if (tracking->burst.requester != 0) {
        tracking->asker = gilx_place_of_holder(sampler, tracking->burst.requester);
        tracking->asker_site = site_of(sampler, tracking->burst.requester);
    }
    return now;
}

static void add(double *time, double *squares, double part) {
    *time += part;
    *squares += part * part;
}

/* Time in which the thread waited for others is left out, as is that in which others hold
 * the GIL where there is one: it could not have attached then, or it waited until all
 * others had stopped. */
void gilx_free_count_own(gilx_sampler *sampler, double weight, bool first) {
    const gilx_free_tracking *tracking = sampler->free;
    const int state = tracking->own.state;
    const bool asks =
        tracking->burst.stopping_now &&
        tracking->burst.requester == sampler->table.threads[GILX_WATCHED].state;
    const bool attached = tracking->own.known && state == GILX_STATE_ATTACHED;
    const bool detached = tracking->own.known && state == GILX_STATE_DETACHED && !asks;
    gilx_ratio_add(&sampler->totals.own, weight, attached, attached || detached, first);
}

void gilx_free_count_world(gilx_sampler *sampler, double weight, bool first) {
    gilx_free_tracking *tracking = sampler->free;
    const gilx_world_burst *burst = &tracking->burst;
    if (burst->reads == 0) {
        return;
    }
    const double reads = (double)burst->reads;
    const double requested = (double)burst->requested / reads;
    const double stopping = (double)burst->stopping / reads;
    tracking->stops += burst->requester != 0 && burst->requester != tracking->stop;
    tracking->stop = burst->requester;
    gilx_ratio_add(&tracking->stopped, weight, requested, 1, first);
    gilx_ratio_add(&tracking->stopping, weight, stopping, 1, first);
    if (burst->requester != 0) {
        gilx_stop_site *site = &tracking->sites[tracking->asker_site];
        add(&site->asked, &site->asked_squares, weight * requested);
        ++site->samples;
        if (tracking->asker != GILX_UNKNOWN_THREAD) {
            gilx_thread_activities *does = &sampler->table.threads[tracking->asker].does;
            add(&does->asked_stops, &does->asked_squares, weight * requested);
        }
    }
    for (int i = 0; i < tracking->late_count; ++i) {
        gilx_thread_activities *does = &sampler->table.threads[tracking->late[i]].does;
        gilx_stop_site *site = &tracking->sites[tracking->late_sites[i]];
        add(&does->late, &does->late_squares, weight * stopping);
        add(&site->late, &site->late_squares, weight * stopping);
        ++site->samples;
    }
}

/* ---- threads ---------------------------------------------------------------------- */

gilx_free_reading gilx_free_read_thread(gilx_sampler *sampler, int place) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    const gilx_free_reading reading = gilx_free_read(
        &sampler->free->threads, &sampler->memory, thread->state, thread->tid);
    if (thread->state != 0 && !reading.known) {
        /* It has another one by now, perhaps; the next listing finds it. */
        thread->state = 0;
        thread->does.stateless = 0;
    }
    return reading;
}

/* Return the activity of a thread that could run. */
static gilx_activity activity_of_ready(gilx_sampler *sampler, int place,
                                       gilx_free_reading before) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    if (!before.known) {
        /* One that has no thread state is not attached. A new thread may get one just
         * after the first listing. */
        return thread->state == 0 && thread->does.stateless > 1 ? GILX_DETACHED
                                                                : GILX_DOES_UNKNOWN;
    }
    const gilx_free_reading after = gilx_free_read_thread(sampler, place);
    if (!after.known ||
        (before.state == GILX_STATE_ATTACHED) != (after.state == GILX_STATE_ATTACHED)) {
        return GILX_HOLDS_GIL;
    }
    /* A thread without a CPU is still in the state in which it lost its CPU. */
    const int64_t cpu = gilx_cpu_ns_of(sampler->words.process, thread->tid);
    sampler->free->standing = gilx_cpu_ns_of(sampler->words.process, thread->tid) == cpu;
    if (after.state != GILX_STATE_ATTACHED) {
        return GILX_DETACHED;
    }
    if (before.wants_lock && after.wants_lock) {
        sampler->free->lock = gilx_lock_of_spins();
        return GILX_SPINS;
    }
    return GILX_ON_CPU;
}

gilx_activity gilx_free_activity(gilx_sampler *sampler, int place, const char *text,
                                 gilx_free_reading before) {
    static const gilx_lock_place NO_GIL = {0, 0};
    gilx_free_tracking *tracking = sampler->free;
    const gilx_activity activity = gilx_activity_of(text, &NO_GIL);
    if (activity == GILX_ON_CPU) {
        return activity_of_ready(sampler, place, before);
    }
    if (activity == GILX_AWAITS_LOCK) {
        const gilx_wait wait =
            gilx_free_wait(&tracking->threads, &sampler->memory, gilx_futex_in(text),
                           before.known ? sampler->table.threads[place].state : 0);
        if (wait.kind == GILX_WAIT_WORLD) {
            return GILX_STOPPED;
        }
        tracking->lock = gilx_lock_number(&tracking->locks, &tracking->threads,
                                          &sampler->memory, wait);
    }
    return activity;
}

static bool needs_cpu(gilx_activity activity) {
    return activity == GILX_ON_CPU || activity == GILX_OFF_CPU ||
           activity == GILX_DETACHED || activity == GILX_SPINS;
}

/* Note a sample of a thread that could run; return whether it shows how the thread
 * used its CPU time. One without a CPU may have lost it to the sampler, or have just been
 * woken, to run again for a moment when it gets one. So these samples count only for a
 * thread that is hardly ever found on a CPU, as on a machine that has only one. */
static bool tells_time(gilx_thread_activities *does, bool standing) {
    enum { RARELY = 8 };
    if (!standing) {
        ++does->running;
        return true;
    }
    return ++does->standing > RARELY * does->running;
}

/* Add a slice of `whole` ns in which a thread could run, but had no CPU. */
static void add_without_cpu(gilx_thread_activities *does, bool spins, double whole) {
    gilx_activity_sums *spun = &does->spun_without_cpu;
    const double square = whole * whole;
    if (does->without_cpu > 0 && spins != does->spun_last) {
        spun->steps += square;
    }
    if (spins) {
        spun->time += whole;
        spun->squares += square;
        spun->products += square;
    }
    does->without_cpu += whole;
    does->without_cpu_squares += square;
    does->spun_last = spins;
}

/* Return how much of `whole` ns the thread spent in an activity, by its clocks, which are
 * read. 0 if that is not known, or will be with the next sample. */
static double time_by_clocks(gilx_sampler *sampler, int place, gilx_activity activity,
                             double whole, bool standing) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    gilx_thread_activities *does = &thread->does;
    const int64_t cpu = gilx_cpu_ns_of(sampler->words.process, thread->tid),
                  now = gilx_now_ns();
    if (cpu < 0 || (needs_cpu(activity) && !tells_time(does, standing))) {
        return 0; /* it has ended, or the next sample will tell */
    }
    if (does->clock_first_ns == 0) {
        does->clock_first_ns = does->clock_last_ns = now;
        does->cpu_first_ns = does->cpu_last_ns = cpu;
        does->waited_ns = does->wait_last_ns;
        return 0; /* for how long it ran before is not known */
    }
    const int64_t ran = cpu - does->cpu_last_ns;
    const int64_t waited = does->wait_last_ns - does->waited_ns;
    const double rest = (double)(now - does->clock_last_ns - ran - waited);
    const double time = needs_cpu(activity) ? (double)ran : rest;
    does->clock_last_ns = now;
    does->cpu_last_ns = cpu;
    does->waited_ns = does->wait_last_ns;
    gilx_clocked_add(&does->clocked, activity, (double)ran, rest);
    return time < 0 ? 0 : time > whole ? whole : time;
}

double gilx_free_count(gilx_sampler *sampler, int place, gilx_activity activity,
                       double whole, double *waited_for_lock) {
    gilx_thread_activities *does = &sampler->table.threads[place].does;
    gilx_free_tracking *tracking = sampler->free;
    const int number = tracking->lock;
    const bool standing = tracking->standing, ready = needs_cpu(activity);
    tracking->lock = gilx_lock_unknown();
    tracking->standing = false;
    does->ready += ready ? whole : 0;
    const double time = time_by_clocks(sampler, place, activity, whole, standing);
    *waited_for_lock = activity == GILX_AWAITS_LOCK || activity == GILX_SPINS ? time : 0;
    /* Clocks of another process move at ticks: that one stands shows nothing there. */
    if (standing && ready && sampler->words.process == 0) {
        add_without_cpu(does, activity == GILX_SPINS, whole);
        *waited_for_lock += activity == GILX_SPINS ? whole : 0;
    }
    if (activity == GILX_AWAITS_LOCK || activity == GILX_SPINS) {
        gilx_lock_add(&tracking->locks, number, *waited_for_lock);
    }
    return time;
}

void gilx_free_tracking_end(gilx_sampler *sampler) {
    if (sampler->free == NULL) {
        return;
    }
    gilx_stop_bounds_end(&sampler->free->bounds, sampler->totals.begin_ns,
                         sampler->totals.end_ns);
    if (sampler->words.process == 0) {
        read_gil_enabled(sampler);
    }
}
