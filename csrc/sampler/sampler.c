#define _GNU_SOURCE /* for Linux's own calls */

#include "sampler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../platform/threads.h"
#include "safe_memory.h"
#include "linux_threads.h"

enum {
    BURST_NS = 4 * 1000, /* how long a look lasts */
    SHORTEST_SLICE_NS = 50 * 1000,
    LONGEST_SLICE_NS = 20 * 1000 * 1000,
    REFERENCE_SLICE_NS = 50 * 1000,
    FIRST_WAKE_COST_NS = 30 * 1000, /* a guess, until it was measured */
    WAKES_BETWEEN_COSTS = 16,
    /* Looking for new threads may take one part in so many of what the sampler costs. */
    LISTING_PART = 10,
    MOST_STATES = 1 << 16, /* thread states of one interpreter, in case a list is torn */
    HOLDERS_PER_LOOK = 8,
    /* CPU clocks are read at each look of the threads that were active at one of so many
     * looks before, as many as fit, and of some others in turn. */
    ACTIVE_LOOKS = 16,
    MOST_ACTIVE = 12,
    OTHERS_PER_LOOK = 2,
    STEPS_PER_LOOK = 32, /* through the table, for those others */
    WATCHED = 0,         /* place of the watched thread, the first one in the table */
    /* A look that comes later than this may have waited for what it looks at: on a busy
     * CPU it comes when the watched thread goes to sleep, and finds the GIL free. */
    LATE_NS = 250 * 1000,
    /* Giving the GIL back and taking it again lasts longer than this: between two reads
     * that are closer it was not released unseen. */
    UNSEEN_RELEASE_NS = 150,
    TURN_NS = 100 * 1000, /* how long a turn on the CPU the sampler asks for */
};

/* How long to wait for the new thread: it needs a CPU for a moment, nothing else. */
static const int64_t START_TIMEOUT_NS = 10000000000;

struct gilx_sampler {
    gilx_gil_words words;
    gilx_sampler_options options;
    pid_t process;
    gilx_thread thread;
    bool started;

    pthread_mutex_t mutex; /* of the next two and the condition that they changed */
    pthread_cond_t changed;
    bool running, stopping;

    /* Looks count from begin to end. Both are in the future until they are known. */
    _Atomic int64_t begin_ns, end_ns;

    /* The rest belongs to the thread while it runs. */
    gilx_totals totals;
    uint64_t random;
    int64_t free_ns, held_ns; /* last read that found the watched free; first since that
                                 found it holding, or 0 */
    int64_t dense_ns;         /* first of the latest reads that are close together */
    int64_t read_ns;          /* the last read */
    gilx_look *looks;
    int64_t look_count;
    int watched_stat; /* of the watched thread, see gilx_stat_open(), or -1 */
    int64_t own_tid;
    int active[MOST_ACTIVE]; /* places of threads that were active lately */
    int active_count;
    int next_other; /* the place after the last one that was polled in turn */
    gilx_thread_table table;
};

static int64_t greater_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- sums ------------------------------------------------------------------------- */

static void add_to_ratio(gilx_ratio *ratio, double weight, double x, double y,
                         bool first) {
    const double square = weight * weight;
    ratio->x += weight * x;
    ratio->y += weight * y;
    ratio->xx += square * x * x;
    ratio->xy += square * x * y;
    ratio->yy += square * y * y;
    if (!first) {
        const double dx = x - ratio->last_x, dy = y - ratio->last_y;
        ratio->dxx += square * dx * dx;
        ratio->dxy += square * dx * dy;
        ratio->dyy += square * dy * dy;
    }
    ratio->last_x = x;
    ratio->last_y = y;
}

/* ---- threads ---------------------------------------------------------------------- */

/* Copy a word of a thread state, which may be gone. */
static bool read_state(uintptr_t state, int64_t offset, void *to, size_t size) {
    return offset != 0 &&
           gilx_read_memory((const void *)(state + (uintptr_t)offset), to, size);
}

/* Return the native id that a thread state gives, 0 if it can't be read. */
static int64_t tid_in(const gilx_sampler *sampler, uintptr_t state) {
    unsigned long tid;
    return read_state(state, sampler->options.states.tid, &tid, sizeof(tid)) &&
                   tid <= INT32_MAX
               ? (int64_t)tid
               : 0;
}

/* Poll a thread at the next looks as well, if there is a place for it. */
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
    if (sampler->active_count < MOST_ACTIVE) {
        sampler->active[sampler->active_count++] = place;
    } else if (threads[sampler->active[idlest]].active + ACTIVE_LOOKS <
               sampler->totals.wakes) {
        sampler->active[idlest] = place;
    }
}

/* Add a thread that is there; return its place, or GILX_UNKNOWN_THREAD. */
static int add_thread(gilx_sampler *sampler, int64_t tid, bool holds) {
    const int64_t cpu = gilx_cpu_ns_of(tid);
    const int place =
        cpu < 0 ? GILX_UNKNOWN_THREAD : gilx_thread_add(&sampler->table, tid, holds);
    if (place != GILX_UNKNOWN_THREAD) {
        gilx_watched_thread *thread = &sampler->table.threads[place];
        thread->started = gilx_start_of(tid);
        thread->asked = sampler->totals.counted;
        thread->cpu_ns = cpu;
        thread->read_ns = gilx_now_ns();
    }
    return place;
}

/* Return the place of a thread that is there, which is added if it is new: if its native
 * id is, or if a thread that was started at another time had it before. */
static int place_of(gilx_sampler *sampler, int64_t tid, bool holds) {
    const int place = gilx_thread_place(&sampler->table, tid);
    if (place != GILX_UNKNOWN_THREAD) {
        gilx_watched_thread *thread = &sampler->table.threads[place];
        const int64_t started = gilx_start_of(tid);
        if (started == thread->started || started == 0 || thread->started == 0) {
            thread->ended = false;
            return place;
        }
        gilx_thread_forget(&sampler->table, tid);
    }
    return add_thread(sampler, tid, holds);
}

/* Return the place of the thread to which a thread state belongs that has just been seen
 * to hold the GIL. Addresses are used again, so that it is read anew each time. */
static int place_of_holder(gilx_sampler *sampler, uintptr_t state) {
    const int64_t tid = tid_in(sampler, state);
    uint64_t id;
    if (tid == 0 || !read_state(state, sampler->options.states.id, &id, sizeof(id))) {
        return GILX_UNKNOWN_THREAD;
    }
    int place = gilx_thread_place(&sampler->table, tid);
    if (place == GILX_UNKNOWN_THREAD || sampler->table.threads[place].state != state ||
        sampler->table.threads[place].state_id != id) {
        place = place_of(sampler, tid, true);
    }
    if (place != GILX_UNKNOWN_THREAD) {
        sampler->table.threads[place].state = state;
        sampler->table.threads[place].state_id = id;
    }
    return place;
}

/* Add a thread of the process to the table, and follow it: new threads are active ones.
 */
static void meet_thread(void *context, int64_t tid) {
    gilx_sampler *sampler = context;
    const int known = gilx_thread_place(&sampler->table, tid);
    if (tid != sampler->own_tid &&
        (known == GILX_UNKNOWN_THREAD || sampler->table.threads[known].ended)) {
        const int place = place_of(sampler, tid, false);
        if (place != GILX_UNKNOWN_THREAD && sampler->totals.wakes > 0) {
            sampler->table.threads[place].active = sampler->totals.wakes;
            keep_active(sampler, place);
        }
    }
}

/* Find the thread states of threads that have not been seen to hold the GIL: where they
 * say whether they wait for it. The list may change on the way: what is read of it is
 * believed only if it names a thread that is there. */
static void meet_states(gilx_sampler *sampler) {
    const gilx_thread_state_layout *layout = &sampler->options.states;
    uintptr_t state;
    if (layout->waits == 0 || layout->first == NULL ||
        !gilx_read_memory(layout->first, &state, sizeof(state))) {
        return;
    }
    for (int i = 0; i < MOST_STATES && state != 0; ++i) {
        const int64_t tid = tid_in(sampler, state);
        const int place = gilx_thread_place(&sampler->table, tid);
        if (tid != 0 && place != GILX_UNKNOWN_THREAD &&
            sampler->table.threads[place].state == 0) {
            sampler->table.threads[place].state = state;
        }
        if (!read_state(state, layout->next, &state, sizeof(state))) {
            return;
        }
    }
}

static void list_threads(gilx_sampler *sampler) {
    gilx_each_thread(meet_thread, sampler);
    meet_states(sampler);
}

/* Narrow the bounds of the lengths of holds by one read. A hold can't go on across a read
 * that found the watched thread without the GIL, and did go on between two that are close
 * together. */
static void bound_holds(gilx_sampler *sampler, int64_t now, bool holds) {
    gilx_totals *totals = &sampler->totals;
    if (holds) {
        if (sampler->held_ns == 0) {
            sampler->held_ns = now;
        }
        if (sampler->dense_ns == 0 || now - sampler->read_ns > UNSEEN_RELEASE_NS) {
            sampler->dense_ns = now;
        }
        totals->hold_min_ns = greater_of(totals->hold_min_ns, now - sampler->dense_ns);
        totals->stretch_ns = greater_of(totals->stretch_ns, now - sampler->held_ns);
    } else {
        totals->hold_max_ns = greater_of(totals->hold_max_ns, now - sampler->free_ns);
        sampler->free_ns = now;
        sampler->held_ns = sampler->dense_ns = 0;
    }
    sampler->read_ns = now;
}

/* ---- looking ---------------------------------------------------------------------- */

/* A thread state that was seen to hold the GIL in one look. */
typedef struct {
    uintptr_t state;
    int place; /* of its thread in the table, or GILX_UNKNOWN_THREAD */
    int64_t reads;
} holder;

typedef struct {
    int64_t at_ns, for_ns, reads, locked, own;
    int64_t let_go; /* reads that found it free, right after one that found it held */
    holder holders[HOLDERS_PER_LOOK];
    int holder_count;
    int64_t unidentified; /* reads that found it held by a thread that is not known */
    bool free_to_run;     /* the watched thread did not wait for a CPU meanwhile */
} sight;

/* Return a holder of this look, which is identified when it is first seen in it. */
static holder *meet_holder(gilx_sampler *sampler, sight *seen, uintptr_t state) {
    for (int i = 0; i < seen->holder_count; ++i) {
        if (seen->holders[i].state == state) {
            return &seen->holders[i];
        }
    }
    if (seen->holder_count == HOLDERS_PER_LOOK) {
        return NULL;
    }
    holder *new = &seen->holders[seen->holder_count++];
    *new = (holder){.state = state, .place = place_of_holder(sampler, state)};
    return new;
}

/* Read the words for a while. Returns the time of the last read. */
static int64_t read_burst(gilx_sampler *sampler, int64_t length, sight *seen) {
    const int64_t begin = atomic_load_explicit(&sampler->begin_ns, memory_order_acquire);
    *seen = (sight){.holder_count = 0};
    /* Identifying a thread state takes longer than many a hold, so the last holder, most
     * likely the next one as well, is identified before. */
    const uintptr_t first = gilx_gil_holder(&sampler->words);
    holder *last = first == 0 ? NULL : meet_holder(sampler, seen, first);
    int64_t now = gilx_now_ns();
    seen->at_ns = now;
    if (sampler->free_ns < begin && now >= begin) {
        sampler->free_ns = sampler->read_ns = begin;
    }
    bool held = false;
    do {
        const bool locked = gilx_gil_locked(&sampler->words);
        const uintptr_t state = gilx_gil_holder(&sampler->words);
        now = gilx_now_ns();
        bool own = false;
        if (locked) {
            if (last == NULL || last->state != state) {
                last = meet_holder(sampler, seen, state);
            }
            const int place = last == NULL ? GILX_UNKNOWN_THREAD : last->place;
            if (last != NULL) {
                ++last->reads;
            }
            own = place == WATCHED;
            seen->own += own;
            seen->unidentified += place == GILX_UNKNOWN_THREAD;
            ++seen->locked;
        }
        ++seen->reads;
        seen->let_go += held && !own;
        held = own;
        if (now >= begin) {
            bound_holds(sampler, now, own);
        }
    } while (now - seen->at_ns < length);
    seen->for_ns = now - seen->at_ns;
    return now;
}

/* Read the words as read_burst() does, and find out whether the watched thread could do
 * something meanwhile. */
static int64_t read_burst_and_state(gilx_sampler *sampler, int64_t length, sight *seen) {
    const int64_t tid = sampler->options.watched;
    const int64_t before = gilx_cpu_ns_of(tid);
    const int64_t end = read_burst(sampler, length, seen);
    const bool ran = gilx_cpu_ns_of(tid) - before > seen->for_ns / 2;
    bool known;
    const bool runnable = gilx_is_runnable(sampler->watched_stat, &known);
    seen->free_to_run = known && (ran || !runnable);
    return end;
}

static uint8_t share_of(double part, double whole) {
    const double share = whole > 0 ? part / whole : 0, most = GILX_MOST_SHARE;
    return (uint8_t)(most * (share < 0 ? 0 : share > 1 ? 1 : share) + 0.5);
}

/* Ask what one thread did since it was asked last: its CPU time, for the timeline, and,
 * where thread states tell, whether it waits for the GIL. A thread that is not asked at
 * each look is taken to have been in between as it is now. */
static void poll_thread(gilx_sampler *sampler, int place, gilx_look *look) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    const int64_t number = sampler->totals.wakes;
    if (thread->polled == number || thread->ended || look->clocks == GILX_CLOCKS_KEPT) {
        return;
    }
    thread->polled = number;
    const int64_t cpu = gilx_cpu_ns_of(thread->tid);
    if (cpu < thread->cpu_ns) { /* it has gone, and another one may have its native id */
        thread->ended = true;
        return;
    }
    const uint8_t share =
        share_of((double)(cpu - thread->cpu_ns), (double)(look->at_ns - thread->read_ns));
    if (share > GILX_MOST_SHARE / 20) {
        thread->active = number;
    }
    look->ran[look->clocks++] = (gilx_share){(uint16_t)place, share};
    thread->cpu_ns = cpu;
    thread->read_ns = look->at_ns;

    int waits;
    ++thread->polls;
    if (sampler->options.states.waits != 0 && thread->state != 0 &&
        tid_in(sampler, thread->state) == thread->tid &&
        read_state(thread->state, sampler->options.states.waits, &waits, sizeof(waits))) {
        /* How long a thread waited before it was first seen is not known. */
        thread->waits = thread->waits || thread->polls > 1;
        thread->waited += waits == 1 ? sampler->totals.counted - thread->asked : 0;
        thread->asked = sampler->totals.counted;
    }
}

/* Poll the watched thread, the holders, those that were active lately, and some others.
 */
static void poll_threads(gilx_sampler *sampler, const sight *seen, gilx_look *look) {
    gilx_watched_thread *threads = sampler->table.threads;
    const int64_t number = sampler->totals.wakes;
    poll_thread(sampler, WATCHED, look);
    for (int i = 0; i < seen->holder_count; ++i) {
        const int place = seen->holders[i].place;
        if (place != GILX_UNKNOWN_THREAD && seen->holders[i].reads > 0) {
            poll_thread(sampler, place, look);
            threads[place].active = number;
            keep_active(sampler, place);
        }
    }
    for (int i = 0; i < sampler->active_count; ++i) {
        poll_thread(sampler, sampler->active[i], look);
    }
    int polled = 0;
    for (int i = 0;
         i < STEPS_PER_LOOK && i < sampler->table.count && polled < OTHERS_PER_LOOK;
         ++i) {
        const int place = sampler->next_other++ % sampler->table.count;
        sampler->next_other %= sampler->table.count;
        if (threads[place].polled != number && !threads[place].ended) {
            poll_thread(sampler, place, look);
            ++polled;
            if (threads[place].active == number) {
                keep_active(sampler, place);
            }
        }
    }
}

/* Add what one look saw of who held the GIL to a look for the timeline. */
static void note_holders(const sight *seen, gilx_look *look) {
    const double reads = (double)seen->reads;
    for (int i = 0; i < seen->holder_count && look->holders < GILX_HOLDERS_KEPT; ++i) {
        const int place = seen->holders[i].place;
        if (place != GILX_UNKNOWN_THREAD && seen->holders[i].reads > 0) {
            look->held[look->holders++] = (gilx_share){
                (uint16_t)place, share_of((double)seen->holders[i].reads, reads)};
        }
    }
    if (seen->unidentified > 0 && look->holders < GILX_HOLDERS_KEPT) {
        look->held[look->holders++] = (gilx_share){
            GILX_UNKNOWN_THREAD, share_of((double)seen->unidentified, reads)};
    }
}

/* Count one look that stands for that much time. A late one counts too, since there is
 * no better one for its time; but how much of the time is of that kind is told. Returns
 * whether it was late. */
static bool count(gilx_sampler *sampler, const sight *seen, int64_t due, double weight) {
    gilx_totals *totals = &sampler->totals;
    const int64_t lateness = seen->at_ns - due;
    const bool late = lateness > LATE_NS;
    const bool first = totals->wakes == 0;
    ++totals->wakes;
    totals->reads += seen->reads;
    if (seen->free_to_run) {
        totals->seen_ns += seen->for_ns;
        totals->let_go += seen->let_go;
    }
    totals->lateness += (double)lateness;
    totals->lateness_max_ns = greater_of(totals->lateness_max_ns, lateness);
    const double reads = (double)seen->reads;
    totals->late += late;
    totals->unknown += late ? weight : 0;
    totals->unidentified += weight * (double)seen->unidentified / reads;
    const double others = (double)(seen->locked - seen->own) / reads;
    add_to_ratio(&totals->own, weight, (double)seen->own / reads, 1 - others, first);
    add_to_ratio(&totals->locked, weight, (double)seen->locked / reads, 1, first);
    totals->counted += weight;
    for (int i = 0; i < seen->holder_count; ++i) {
        const holder *one = &seen->holders[i];
        if (one->place != GILX_UNKNOWN_THREAD) {
            sampler->table.threads[one->place].held +=
                weight * (double)one->reads / reads;
        }
    }
    gilx_look look = {.at_ns = seen->at_ns, .late = late};
    poll_threads(sampler, seen, &look);
    if (sampler->options.room > 0) {
        note_holders(seen, &look);
        sampler->looks[sampler->look_count++ % sampler->options.room] = look;
    }
    return late;
}

/* ---- the thread ------------------------------------------------------------------- */

/* Sleep until the clock says `until`; false when it is time to stop. */
static bool sleep_until(gilx_sampler *sampler, int64_t until) {
    struct timespec time = {.tv_sec = (time_t)(until / 1000000000),
                            .tv_nsec = (long)(until % 1000000000)};
    int status = 0;
    pthread_mutex_lock(&sampler->mutex);
    while (!sampler->stopping && status == 0) {
        status = pthread_cond_timedwait(&sampler->changed, &sampler->mutex, &time);
    }
    const bool going = !sampler->stopping;
    pthread_mutex_unlock(&sampler->mutex);
    return going;
}

/* The length of the next slices, so that the cost stays what it may be: by the cost of
 * the latest wakes, and more or less if all of them together cost too much or little. */
static int64_t slice_within_cost(const gilx_sampler *sampler, int64_t slice, int64_t cost,
                                 int64_t all_cost, int64_t passed) {
    const double share = sampler->options.cost;
    double correction = (double)all_cost / (share * (double)passed);
    correction = correction < 0.5 ? 0.5 : correction > 2 ? 2 : correction;
    double fit = (double)cost / (double)WAKES_BETWEEN_COSTS / share * correction;
    const double most = 2.0 * (double)LONGEST_SLICE_NS;
    if (!(fit < most)) { /* it may be out of an integer's range */
        fit = most;
    }
    /* Half way: one expensive wake must not decide. */
    const int64_t next = (slice + (int64_t)fit) / 2;
    return next < SHORTEST_SLICE_NS  ? SHORTEST_SLICE_NS
           : next > LONGEST_SLICE_NS ? LONGEST_SLICE_NS
                                     : next;
}

static void run(void *argument) {
    gilx_sampler *sampler = argument;
    gilx_totals *totals = &sampler->totals;
    const bool reference = sampler->options.reference;
    gilx_name_thread("gilx-watch");
    totals->slack = gilx_refuse_slack();
    totals->short_turns = gilx_ask_for_turns(TURN_NS);
    sampler->watched_stat = gilx_stat_open(sampler->options.watched);
    sampler->own_tid = gilx_own_tid();
    list_threads(sampler);

    pthread_mutex_lock(&sampler->mutex);
    sampler->running = true;
    pthread_cond_broadcast(&sampler->changed);
    pthread_mutex_unlock(&sampler->mutex);

    const int64_t start = gilx_now_ns(), start_cost = gilx_own_cpu_ns();
    const double first = (double)FIRST_WAKE_COST_NS / sampler->options.cost;
    int64_t slice = reference ? REFERENCE_SLICE_NS
                    : first > (double)LONGEST_SLICE_NS
                        ? LONGEST_SLICE_NS
                        : greater_of((int64_t)first, SHORTEST_SLICE_NS);
    int64_t from = start, cost = start_cost;
    int64_t listed = start_cost, listing = 0; /* CPU time at the last listing; its cost */
    int64_t paused = 0;                       /* time that a listing took off a slice */
    for (int64_t wake = 1;; ++wake) {
        const double draw = reference ? 0 : gilx_uniform(&sampler->random);
        const int64_t due = from + (int64_t)(draw * (double)slice);
        /* The spinning sampler looks for the stop without sleeping. */
        if (!sleep_until(sampler, reference ? 0 : due)) {
            break;
        }
        sight seen;
        /* The state costs a tenth of a wake, so it is not asked for each time. */
        int64_t now = (wake % 2 == 0 ? read_burst_and_state : read_burst)(
            sampler, reference ? slice : BURST_NS, &seen);
        /* Time that was slept through, or for which the CPU was taken away. */
        const int64_t passed = now - from - slice;
        const int64_t missed = passed > slice || reference ? greater_of(passed, 0) : 0;
        if (due >= atomic_load(&sampler->begin_ns) &&
            seen.at_ns <= atomic_load(&sampler->end_ns)) {
            const bool late =
                count(sampler, &seen, due, (double)(slice + missed + paused));
            /* The spinning sampler itself needs some time between its looks. */
            if (reference && !late && missed > LATE_NS) {
                sampler->totals.unknown += (double)missed;
            }
        }
        paused = 0;
        from += slice + missed;
        if (wake % WAKES_BETWEEN_COSTS != 0) {
            continue;
        }
        int64_t spent = gilx_own_cpu_ns();
        if (!reference) {
            slice = slice_within_cost(sampler, slice, spent - cost, spent - start_cost,
                                      now - start);
        }
        if (spent - listed >= LISTING_PART * listing) {
            list_threads(sampler);
            listed = gilx_own_cpu_ns();
            listing = listed - spent;
            spent = listed;
            now = gilx_now_ns();
            paused = greater_of(now - from, 0);
            from += paused;
        }
        cost = spent;
    }
    totals->slice_ns = slice;
    totals->cost_ns = gilx_own_cpu_ns() - start_cost;
    if (sampler->watched_stat >= 0) {
        close(sampler->watched_stat);
        sampler->watched_stat = -1;
    }
}

/* ---- from outside ----------------------------------------------------------------- */

gilx_sampler *gilx_sampler_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options) {
    gilx_sampler *sampler = calloc(1, sizeof(*sampler));
    if (sampler == NULL) {
        return NULL;
    }
    sampler->words = *words;
    sampler->options = *options;
    sampler->random = options->seed;
    sampler->watched_stat = -1;
    atomic_init(&sampler->begin_ns, INT64_MAX);
    atomic_init(&sampler->end_ns, INT64_MAX);
    if (options->room > 0) {
        sampler->looks = calloc((size_t)options->room, sizeof(*sampler->looks));
        if (sampler->looks == NULL) {
            free(sampler);
            return NULL;
        }
        /* Touched now, so that no page has to be found while it looks. */
        memset(sampler->looks, 1, (size_t)options->room * sizeof(*sampler->looks));
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sampler->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&sampler->mutex, NULL);
    const int watched = gilx_thread_add(&sampler->table, options->watched, true);
    sampler->table.threads[watched].started = gilx_start_of(options->watched);
    sampler->table.threads[watched].cpu_ns = gilx_cpu_ns_of(options->watched);
    sampler->table.threads[watched].read_ns = gilx_now_ns();
    return sampler;
}

int gilx_sampler_start(gilx_sampler *sampler) {
    sampler->process = getpid();
    int status = gilx_thread_start(&sampler->thread, run, sampler);
    if (status != 0) {
        return status;
    }
    sampler->started = true;
    const int64_t until = gilx_now_ns() + START_TIMEOUT_NS;
    struct timespec time = {.tv_sec = (time_t)(until / 1000000000),
                            .tv_nsec = (long)(until % 1000000000)};
    pthread_mutex_lock(&sampler->mutex);
    while (!sampler->running && status == 0) {
        status = pthread_cond_timedwait(&sampler->changed, &sampler->mutex, &time);
    }
    const bool running = sampler->running;
    pthread_mutex_unlock(&sampler->mutex);
    return running ? 0 : status;
}

void gilx_sampler_begin(gilx_sampler *sampler) {
    sampler->totals.switches = gilx_gil_switches(&sampler->words);
    atomic_store_explicit(&sampler->begin_ns, gilx_now_ns(), memory_order_release);
}

void gilx_sampler_end(gilx_sampler *sampler) {
    atomic_store(&sampler->end_ns, gilx_now_ns());
    sampler->totals.switches =
        gilx_gil_switches(&sampler->words) - sampler->totals.switches;
}

bool gilx_sampler_forked(const gilx_sampler *sampler) {
    return sampler->started && getpid() != sampler->process;
}

void gilx_sampler_stop(gilx_sampler *sampler) {
    if (!sampler->started || gilx_sampler_forked(sampler)) {
        return;
    }
    pthread_mutex_lock(&sampler->mutex);
    sampler->stopping = true;
    pthread_cond_broadcast(&sampler->changed);
    pthread_mutex_unlock(&sampler->mutex);
    gilx_thread_join(&sampler->thread);
    sampler->started = false;

    gilx_totals *totals = &sampler->totals;
    totals->begin_ns = atomic_load(&sampler->begin_ns);
    totals->end_ns = atomic_load(&sampler->end_ns);
    /* A hold can't have gone on after the end either. */
    totals->hold_max_ns =
        greater_of(totals->hold_max_ns,
                   totals->end_ns - greater_of(sampler->free_ns, totals->begin_ns));
}

const gilx_totals *gilx_sampler_totals(const gilx_sampler *sampler) {
    return &sampler->totals;
}

int gilx_sampler_threads(const gilx_sampler *sampler,
                         const gilx_watched_thread **threads) {
    *threads = sampler->table.threads;
    return sampler->table.count;
}

int64_t gilx_sampler_looks(const gilx_sampler *sampler) {
    const int64_t room = sampler->options.room;
    return sampler->look_count < room ? sampler->look_count : room;
}

const gilx_look *gilx_sampler_look(const gilx_sampler *sampler, int64_t i) {
    const int64_t first = sampler->look_count - gilx_sampler_looks(sampler);
    return &sampler->looks[(first + i) % sampler->options.room];
}

void gilx_sampler_free(gilx_sampler *sampler) {
    if (sampler == NULL) {
        return;
    }
    /* In the child of a fork the lock may be taken for ever, and nobody else closes what
     * the thread had opened. */
    if (!gilx_sampler_forked(sampler)) {
        gilx_sampler_stop(sampler);
        pthread_cond_destroy(&sampler->changed);
        pthread_mutex_destroy(&sampler->mutex);
    } else if (sampler->watched_stat >= 0) {
        close(sampler->watched_stat);
    }
    free(sampler->looks);
    free(sampler);
}
