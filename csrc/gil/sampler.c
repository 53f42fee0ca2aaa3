#define _GNU_SOURCE /* for the kernel's own calls */

#include "sampler.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../platform/threads.h"
#include "threads.h"

enum {
    BURST_NS = 4 * 1000, /* how long a look lasts */
    SHORTEST_SLICE_NS = 50 * 1000,
    LONGEST_SLICE_NS = 20 * 1000 * 1000,
    REFERENCE_SLICE_NS = 50 * 1000,
    FIRST_WAKE_COST_NS = 30 * 1000, /* a guess, until it was measured */
    WAKES_BETWEEN_COSTS = 16,
    WAKES_BETWEEN_LISTS = 16, /* how often new threads are looked for */
    OLD_THREADS = 256,
    MOST_NEWCOMERS = GILX_HOLDERS / 2,
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
    gilx_holder holders[GILX_HOLDERS];
    int holder_count;
    uint64_t random;
    int64_t free_ns, held_ns; /* last read that found the watched free; first since that
                                 found it holding, or 0 */
    int64_t dense_ns;         /* first of the latest reads that are close together */
    int64_t read_ns;          /* the last read */
    uintptr_t last_word;      /* the last holder seen */
    int64_t look_ns;          /* the last look */
    gilx_look *looks;
    int64_t look_count;
    int64_t old[OLD_THREADS]; /* numbers of the threads that were there before */
    int old_count;
    int newcomers;    /* holders in the table that were never seen to hold */
    int watched_stat; /* of the watched thread, see gilx_stat_open(), or -1 */
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

/* The number of the watched thread, 0 if it is not known. */
static int64_t watched_tid(const gilx_sampler *sampler) {
    for (int i = 0; i < sampler->holder_count; ++i) {
        if (sampler->holders[i].word == sampler->options.watched) {
            return sampler->holders[i].tid;
        }
    }
    return 0;
}

/* Copy a word of a thread state, in a way that can't crash: the thread may be gone. */
static bool read_state(const gilx_sampler *sampler, uintptr_t word, int64_t offset,
                       void *to, size_t size) {
    const struct iovec local = {.iov_base = to, .iov_len = size};
    const struct iovec remote = {.iov_base = (void *)(word + (uintptr_t)offset),
                                 .iov_len = size};
    return offset != 0 &&
           process_vm_readv(sampler->process, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* The kernel's number of the thread that has that thread state and has just been seen to
 * hold the GIL; 0 if it can't be told. A number that is none of this process's is not
 * believed. */
static int64_t tid_of(const gilx_sampler *sampler, uintptr_t word) {
    unsigned long tid;
    if (!read_state(sampler, word, sampler->options.tid_offset, &tid, sizeof(tid)) ||
        tid > INT32_MAX || gilx_cpu_ns_of((int64_t)tid) < 0) {
        return 0;
    }
    return (int64_t)tid;
}

/* The place of a holder in the table; GILX_HOLDERS if that is full. Addresses are used
 * again when threads end: with another number it is another holder. */
static int place_of(gilx_sampler *sampler, uintptr_t word, int64_t tid) {
    for (int i = 0; i < sampler->holder_count && tid != 0; ++i) {
        gilx_holder *holder = &sampler->holders[i];
        if (holder->word == 0 && holder->tid == tid) {
            holder->word = word; /* a newcomer's first hold */
            return i;
        }
    }
    for (int i = sampler->holder_count - 1; i >= 0; --i) {
        gilx_holder *holder = &sampler->holders[i];
        if (holder->word != word) {
            continue;
        }
        if (holder->tid == 0) {
            holder->tid = tid;
        }
        if (tid == 0 || holder->tid == tid) {
            return i;
        }
        break;
    }
    if (sampler->holder_count == GILX_HOLDERS) {
        return GILX_HOLDERS;
    }
    sampler->holders[sampler->holder_count] =
        (gilx_holder){.word = word, .tid = tid, .cpu_ns = -1};
    return sampler->holder_count++;
}

/* Remember a thread that was there before. */
static void meet_old(void *context, int64_t tid) {
    gilx_sampler *sampler = context;
    if (sampler->old_count < OLD_THREADS) {
        sampler->old[sampler->old_count++] = tid;
    }
}

/* Give a new thread a place in the table, so that the timeline shows it even if it hardly
 * ever holds the GIL. */
static void meet_newcomer(void *context, int64_t tid) {
    gilx_sampler *sampler = context;
    for (int i = 0; i < sampler->old_count; ++i) {
        if (sampler->old[i] == tid) {
            return;
        }
    }
    for (int i = 0; i < sampler->holder_count; ++i) {
        if (sampler->holders[i].tid == tid) {
            return;
        }
    }
    if (sampler->newcomers < MOST_NEWCOMERS && sampler->holder_count < GILX_HOLDERS) {
        ++sampler->newcomers;
        sampler->holders[sampler->holder_count++] =
            (gilx_holder){.tid = tid, .cpu_ns = gilx_cpu_ns_of(tid)};
    }
}

static void meet_newcomers(gilx_sampler *sampler) {
    if (sampler->old_count < OLD_THREADS) { /* or new ones can't be told from old ones */
        gilx_each_thread(meet_newcomer, sampler);
    }
}

/* What one read says of the lengths of holds. A hold can't go on
 * across a read that found the watched free, and did go on between two that are close
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

typedef struct {
    int64_t at_ns, for_ns, reads, locked, own;
    int64_t let_go; /* reads that found it free, right after one that found it held */
    int64_t of[GILX_HOLDERS + 1]; /* reads by holder; the last for all others */
} sight;

/* Read the words for a while. Returns the time of the last read. */
static int64_t read_burst(gilx_sampler *sampler, int64_t length, sight *seen) {
    const int64_t begin = atomic_load_explicit(&sampler->begin_ns, memory_order_acquire);
    int64_t now = gilx_now_ns();
    *seen = (sight){.at_ns = now};
    uintptr_t word = 0;
    int place = GILX_HOLDERS;
    if (sampler->free_ns < begin && now >= begin) {
        sampler->free_ns = sampler->read_ns = begin;
    }
    bool held = false;
    do {
        const bool locked = gilx_gil_locked(&sampler->words);
        const uintptr_t holder = gilx_gil_holder(&sampler->words);
        const bool own = locked && holder == sampler->options.watched;
        now = gilx_now_ns();
        ++seen->reads;
        seen->let_go += held && !own;
        held = own;
        if (locked) {
            if (holder != word) {
                const bool changed = holder != sampler->last_word;
                word = sampler->last_word = holder;
                place = place_of(sampler, holder, changed ? tid_of(sampler, holder) : 0);
            }
            ++seen->locked;
            ++seen->of[place];
            seen->own += own;
        }
        if (now >= begin) {
            bound_holds(sampler, now, own);
        }
    } while (now - seen->at_ns < length);
    seen->for_ns = now - seen->at_ns;
    return now;
}

static uint8_t share_of(double part, double whole) {
    const double share = whole > 0 ? part / whole : 0;
    return (uint8_t)(255 * (share < 0 ? 0 : share > 1 ? 1 : share) + 0.5);
}

/* Keep a look for the timeline. */
static void keep(gilx_sampler *sampler, const sight *seen, bool late) {
    gilx_look *look = &sampler->looks[sampler->look_count++ % sampler->options.room];
    *look = (gilx_look){.at_ns = seen->at_ns, .late = late};
    const double passed = (double)(seen->at_ns - sampler->look_ns);
    for (int i = 0; i < sampler->holder_count; ++i) {
        gilx_holder *holder = &sampler->holders[i];
        look->held[i] = share_of((double)seen->of[i], (double)seen->reads);
        int64_t cpu = gilx_cpu_ns_of(holder->tid);
        if (cpu >= 0 && holder->cpu_ns >= 0) {
            look->running[i] = share_of((double)(cpu - holder->cpu_ns), passed);
        }
        holder->cpu_ns = cpu;
    }
}

/* Add that much time to those who wait for the GIL, where thread states tell. */
static void count_waiters(gilx_sampler *sampler, double weight) {
    if (sampler->options.wanted_offset == 0) {
        return;
    }
    for (int i = 0; i < sampler->holder_count; ++i) {
        gilx_holder *holder = &sampler->holders[i];
        int wanted;
        if (gilx_cpu_ns_of(holder->tid) >= 0 &&
            read_state(sampler, holder->word, sampler->options.wanted_offset, &wanted,
                       sizeof(wanted)) &&
            wanted == 1) {
            holder->wanted += weight;
        }
    }
}

/* Count one look that stands for that much time. A late one counts too, since there is
 * no better one for its time; but how much of the time is of that kind is told. */
static void count(gilx_sampler *sampler, const sight *seen, int64_t due, double weight) {
    gilx_totals *totals = &sampler->totals;
    const int64_t lateness = seen->at_ns - due;
    const bool late = lateness > LATE_NS;
    const bool first = totals->wakes == 0;
    ++totals->wakes;
    totals->reads += seen->reads;
    /* Asking costs a tenth of a wake, so only now and then. */
    if (totals->wakes % 2 == 0 && gilx_was_free_to_run(sampler->watched_stat)) {
        totals->seen_ns += seen->for_ns;
        totals->let_go += seen->let_go;
    }
    totals->lateness += (double)lateness;
    totals->lateness_max_ns = greater_of(totals->lateness_max_ns, lateness);
    if (sampler->options.room > 0) {
        keep(sampler, seen, late);
    }
    sampler->look_ns = seen->at_ns;
    if (late) {
        ++totals->late;
        totals->unknown += weight;
    }
    const double reads = (double)seen->reads;
    const double others = (double)(seen->locked - seen->own) / reads;
    add_to_ratio(&totals->own, weight, (double)seen->own / reads, 1 - others, first);
    add_to_ratio(&totals->locked, weight, (double)seen->locked / reads, 1, first);
    totals->counted += weight;
    for (int i = 0; i < sampler->holder_count; ++i) {
        sampler->holders[i].held += weight * (double)seen->of[i] / reads;
    }
    totals->elsewhere += weight * (double)seen->of[GILX_HOLDERS] / reads;
    count_waiters(sampler, weight);
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
    sampler->watched_stat = gilx_stat_open(watched_tid(sampler));
    if (sampler->options.room > 0) {
        gilx_each_thread(meet_old, sampler); /* before anyone can start another */
    }

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
    sampler->look_ns = start;
    for (int64_t wake = 1;; ++wake) {
        const double draw = reference ? 0 : gilx_uniform(&sampler->random);
        const int64_t due = from + (int64_t)(draw * (double)slice);
        /* The spinning sampler looks for the stop without sleeping. */
        if (!sleep_until(sampler, reference ? 0 : due)) {
            break;
        }
        sight seen;
        int64_t now = read_burst(sampler, reference ? slice : BURST_NS, &seen);
        /* Time that was slept through, or for which the CPU was taken away. */
        const int64_t passed = now - from - slice;
        const int64_t missed = passed > slice || reference ? greater_of(passed, 0) : 0;
        if (due >= atomic_load(&sampler->begin_ns) &&
            seen.at_ns <= atomic_load(&sampler->end_ns)) {
            count(sampler, &seen, due, (double)(slice + missed));
            if (reference) {
                sampler->totals.unknown += (double)missed;
            }
        }
        from += slice + missed;
        if (sampler->options.room > 0 && wake % WAKES_BETWEEN_LISTS == 0) {
            meet_newcomers(sampler);
        }
        if (wake % WAKES_BETWEEN_COSTS == 0 && !reference) {
            const int64_t spent = gilx_own_cpu_ns();
            slice = slice_within_cost(sampler, slice, spent - cost, spent - start_cost,
                                      now - start);
            cost = spent;
        }
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
    gilx_sampler_expect(sampler, options->watched, 0);
    return sampler;
}

void gilx_sampler_expect(gilx_sampler *sampler, uintptr_t word, int64_t tid) {
    (void)place_of(sampler, word, tid);
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

int gilx_sampler_holders(const gilx_sampler *sampler, const gilx_holder **holders) {
    *holders = sampler->holders;
    return sampler->holder_count;
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
