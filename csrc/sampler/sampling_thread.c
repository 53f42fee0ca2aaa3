#define _POSIX_C_SOURCE 200809L

#include "sampler_state.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "monitor_state.h"
#include "private_files.h"
#include "safe_memory.h"

enum {
    BURST_NS = 4 * 1000, /* how long the GIL's words are read for one sample */
    SHORTEST_SLICE_NS = 50 * 1000,
    LONGEST_SLICE_NS = 20 * 1000 * 1000,
    REFERENCE_SLICE_NS = 50 * 1000,
    FIRST_WAKE_COST_NS = 30 * 1000, /* a guess, until it was measured */
    WAKES_BETWEEN_COSTS = 16,
    /* Listing threads may take one part in so many of what the sampler costs. */
    LISTING_PART = 10,
    /* A sample that comes later than this may depend on what it samples: on a busy CPU it
     * comes when the watched thread goes to sleep, and finds the GIL free. */
    LATE_NS = 250 * 1000,
    /* Giving the GIL back and taking it again lasts longer than this: between two reads
     * that are closer it was not released unseen. */
    UNSEEN_RELEASE_NS = 150,
    TURN_NS = 100 * 1000, /* how long a turn on the CPU the sampler asks for */
};

static int64_t greater_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- sums ------------------------------------------------------------------------- */

void gilx_ratio_add(gilx_ratio *ratio, double weight, double x, double y, bool first) {
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

/* Narrow the bounds of the lengths of holds by one read. A hold can't go on across a read
 * that found the watched thread without the GIL, and did go on between two that are close
 * together. */
static void bound_holds(gilx_sampler *sampler, int64_t now, bool holds) {
    gilx_totals *totals = &sampler->totals;
    if (holds) {
        if (sampler->held_ns == 0) {
            sampler->held_ns = now;
            sampler->held_from = totals->wakes;
        }
        if (sampler->dense_ns == 0 || now - sampler->read_ns > UNSEEN_RELEASE_NS) {
            sampler->dense_ns = now;
        }
        totals->hold_min_ns = greater_of(totals->hold_min_ns, now - sampler->dense_ns);
        if (now - sampler->held_ns >= totals->stretch_ns) {
            totals->stretch_ns = now - sampler->held_ns;
            totals->stretch_run = totals->wakes - sampler->held_from + 1;
        }
    } else {
        totals->hold_max_ns = greater_of(totals->hold_max_ns, now - sampler->free_ns);
        sampler->free_ns = now;
        sampler->held_ns = sampler->dense_ns = 0;
    }
    sampler->read_ns = now;
}

/* ---- samples ---------------------------------------------------------------------- */

/* A thread state that held the GIL in one sample. */
typedef struct {
    uintptr_t state;
    int place; /* of its thread in the table, or GILX_UNKNOWN_THREAD */
    int64_t reads;
} holder;

typedef struct {
    int64_t at_ns, length_ns, reads, locked, own;
    int64_t releases; /* reads that found the watched not holding, after one that did */
    holder holders[GILX_HOLDERS];
    int holder_count;
    int64_t unidentified;  /* reads that found the GIL held by an unknown thread */
    gilx_site_sample site; /* only if stacks are read, */
    int64_t site_ns;       /* and when that was, */
    int site_place;        /* and the place of the thread that held the GIL there */
    uint32_t waiters;      /* threads that waited for the GIL at its end */
    bool free_to_run;      /* the watched thread did not wait for a CPU meanwhile */
} read_counts;

/* Return a holder, which is identified once a sample; NULL if there are too many. */
static holder *find_holder(gilx_sampler *sampler, read_counts *burst, uintptr_t state) {
    for (int i = 0; i < burst->holder_count; ++i) {
        if (burst->holders[i].state == state) {
            return &burst->holders[i];
        }
    }
    if (burst->holder_count == GILX_HOLDERS) {
        return NULL;
    }
    holder *new = &burst->holders[burst->holder_count++];
    *new = (holder){.state = state, .place = gilx_place_of_holder(sampler, state)};
    return new;
}

/* Read the words for a while. Returns the time of the last read. */
static int64_t read_burst(gilx_sampler *sampler, int64_t length, read_counts *burst) {
    const int64_t begin = atomic_load_explicit(&sampler->begin_ns, memory_order_acquire);
    *burst = (read_counts){.holder_count = 0};
    if (!gilx_refresh_words(sampler)) {
        return gilx_now_ns();
    }
    /* Identifying a thread state takes longer than many a hold, so the last holder, most
     * likely the next one as well, is identified before. */
    const uintptr_t first = gilx_gil_holder(&sampler->words);
    holder *last = first == 0 ? NULL : find_holder(sampler, burst, first);
    int64_t now = gilx_now_ns();
    burst->at_ns = now;
    if (sampler->free_ns < begin && now >= begin) {
        sampler->free_ns = sampler->read_ns = begin;
    }
    bool held = false;
    do {
        if (!gilx_refresh_words(sampler)) {
            burst->reads = 0; /* none of them counts */
            return now;
        }
        const bool locked = gilx_gil_locked(&sampler->words);
        const uintptr_t state = gilx_gil_holder(&sampler->words);
        now = gilx_now_ns();
        bool own = false;
        if (locked) {
            if (last == NULL || last->state != state) {
                last = find_holder(sampler, burst, state);
            }
            const int place = last == NULL ? GILX_UNKNOWN_THREAD : last->place;
            if (last != NULL) {
                ++last->reads;
            }
            own = place == GILX_WATCHED;
            burst->own += own;
            burst->unidentified += place == GILX_UNKNOWN_THREAD;
            ++burst->locked;
        }
        ++burst->reads;
        burst->releases += held && !own;
        held = own;
        if (now >= begin) {
            bound_holds(sampler, now, own);
        }
    } while (now - burst->at_ns < length);
    burst->length_ns = now - burst->at_ns;
    if (sampler->waiters != NULL) {
        burst->waiters = gilx_condition_waiters(sampler->waiters);
        burst->waiters -= burst->waiters > 0 && atomic_load(&sampler->asking);
    }
    return now;
}

/* Read the words as read_burst() does, and find out whether the watched thread could do
 * something meanwhile. */
static int64_t read_burst_and_state(gilx_sampler *sampler, int64_t length,
                                    read_counts *burst) {
    const int64_t process = sampler->words.process, tid = sampler->options.watched;
    if (process != 0) { /* its clock is not exact enough */
        return read_burst(sampler, length, burst);
    }
    const int64_t before = gilx_cpu_ns_of(process, tid);
    const int64_t end = read_burst(sampler, length, burst);
    const bool ran = gilx_cpu_ns_of(process, tid) - before > burst->length_ns / 2;
    bool known;
    const bool runnable = gilx_is_runnable(sampler->watched_stat, &known);
    burst->free_to_run = known && (ran || !runnable);
    return end;
}

/* Read where the GIL is held. That takes longer if it is held, so it comes after the
 * burst: else short holds would be over when the words are read. */
static void sample_site(gilx_sampler *sampler, read_counts *burst) {
    gilx_sites_sample(sampler->sites, &sampler->memory, &burst->site);
    burst->site_ns = gilx_now_ns();
    if (burst->site.held) {
        gilx_sites_check(sampler->sites, &sampler->memory, &burst->site);
    }
}

/* Note in a sample for the timeline which threads held the GIL. */
static void note_holders(const read_counts *burst, gilx_sample *sample) {
    const double reads = (double)burst->reads;
    for (int i = 0; i < burst->holder_count && sample->holders < GILX_HOLDERS_KEPT; ++i) {
        const int place = burst->holders[i].place;
        if (place != GILX_UNKNOWN_THREAD && burst->holders[i].reads > 0) {
            sample->held[sample->holders++] = (gilx_share){
                (uint16_t)place, gilx_share_of((double)burst->holders[i].reads, reads)};
        }
    }
    if (burst->unidentified > 0 && sample->holders < GILX_HOLDERS_KEPT) {
        sample->held[sample->holders++] = (gilx_share){
            GILX_UNKNOWN_THREAD, gilx_share_of((double)burst->unidentified, reads)};
    }
}

/* Add where the GIL was held to the sums of the sites. */
static void count_site(gilx_sampler *sampler, read_counts *burst, double weight) {
    gilx_site_sample *sample = &burst->site;
    int place = GILX_UNKNOWN_THREAD;
    if (sample->held) {
        holder *one = find_holder(sampler, burst, gilx_sites_holder(sampler->sites));
        place = one == NULL ? GILX_UNKNOWN_THREAD : one->place;
        sample->unbroken = one != NULL && one->reads == burst->reads;
    }
    burst->site_place = place;
    const int64_t tid =
        place == GILX_UNKNOWN_THREAD ? 0 : sampler->table.threads[place].tid;
    gilx_sites_count(
        sampler->sites, &sampler->memory, sample, weight, burst->waiters, place, tid,
        atomic_load_explicit(&sampler->begin_ns, memory_order_relaxed), burst->site_ns);
}

/* Read clocks of threads, and ask some what they do. */
static void poll_threads(gilx_sampler *sampler, const gilx_holding *holdings, int count,
                         gilx_sample *sample) {
    gilx_poll_thread(sampler, GILX_WATCHED, sample);
    for (int i = 0; i < count; ++i) {
        gilx_poll_thread(sampler, holdings[i].place, sample);
    }
    gilx_poll_others(sampler, sample);
    gilx_poll_activities(sampler, sample);
}

/* Add a sample that stands for `weight` nanoseconds to the totals; return whether it was
 * late. A late one counts too, since there is no better one for its time, but that time
 * is also reported as unknown. */
static bool count(gilx_sampler *sampler, read_counts *burst, int64_t due, double weight) {
    gilx_totals *totals = &sampler->totals;
    const int64_t lateness = burst->at_ns - due;
    const bool late = lateness > LATE_NS;
    const bool first = totals->wakes == 0;
    ++totals->wakes;
    totals->reads += burst->reads;
    if (burst->free_to_run && sampler->free == NULL) {
        totals->burst_ns += burst->length_ns;
        totals->releases += burst->releases;
    }
    totals->lateness += (double)lateness;
    totals->lateness_max_ns = greater_of(totals->lateness_max_ns, lateness);
    const double reads = (double)burst->reads;
    totals->late += late;
    totals->unknown += late ? weight : 0;
    totals->unidentified += weight * (double)burst->unidentified / reads;
    if (sampler->free == NULL) {
        const double others = (double)(burst->locked - burst->own) / reads;
        gilx_ratio_add(&totals->own, weight, (double)burst->own / reads, 1 - others,
                       first);
        gilx_ratio_add(&totals->locked, weight, (double)burst->locked / reads, 1, first);
    } else {
        gilx_free_count_own(sampler, weight, first);
        gilx_free_count_world(sampler, weight, first);
    }
    totals->counted += weight;
    const double waiters = (double)burst->waiters;
    gilx_ratio_add(&totals->waiters, weight, waiters, sampler->waiters != NULL, first);
    totals->most_waiters =
        waiters > totals->most_waiters ? waiters : totals->most_waiters;
    if (sampler->sites != NULL && sampler->free == NULL) {
        count_site(sampler, burst, weight);
    }
    gilx_holding holdings[GILX_HOLDERS];
    int holding_count = 0;
    for (int i = 0; i < burst->holder_count; ++i) {
        const holder *one = &burst->holders[i];
        if (one->place != GILX_UNKNOWN_THREAD && one->reads > 0) {
            holdings[holding_count++] =
                (gilx_holding){one->place, (double)one->reads / reads};
        }
    }
    gilx_count_holders(sampler, weight, holdings, holding_count);
    gilx_sample sample = {
        .at_ns = burst->at_ns,
        .late = late,
        .weight = weight,
        .site = sampler->sites == NULL || sampler->free != NULL ? -1 : burst->site.site,
        .site_place = (uint16_t)burst->site_place,
        .below = burst->site.below,
    };
    for (int i = 0; i < holding_count; ++i) {
        gilx_note_active(sampler, holdings[i].place);
    }
    if (totals->wakes % sampler->ask_every == 0) {
        poll_threads(sampler, holdings, holding_count, &sample);
    }
    if (sampler->options.capacity > 0) {
        note_holders(burst, &sample);
        sampler->samples[sampler->sample_count++ % sampler->options.capacity] = sample;
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

/* Sleep until the next sample; meanwhile, report if the GIL is not released. */
static bool sleep_until_sample(gilx_sampler *sampler, int64_t due) {
    bool going = true;
    if (sampler->monitor != NULL) {
        int64_t next;
        while (going && (next = gilx_monitor_due(sampler->monitor)) < due) {
            going = sleep_until(sampler, next);
            if (going) {
                gilx_monitor_look(sampler, true);
            }
        }
    }
    return going && sleep_until(sampler, due);
}

/* Return how long a slice may be: a stall is found in time. */
static int64_t longest_slice(const gilx_sampler *sampler) {
    enum { SLICES_PER_STALL = 8 };
    const int64_t stall =
        sampler->monitor == NULL ? 0 : gilx_monitor_limit_ns(sampler->monitor);
    if (stall == 0) {
        return LONGEST_SLICE_NS;
    }
    const int64_t most = greater_of(stall / SLICES_PER_STALL, SHORTEST_SLICE_NS);
    return most < LONGEST_SLICE_NS ? most : LONGEST_SLICE_NS;
}

/* Return the share of a CPU that the sampling thread may take. A monitor's wakes also
 * cost the threads that it interrupts time, more than the thread itself takes: see
 * benchmarks/accuracy/monitor.py. */
static double own_share(const gilx_sampler *sampler) {
    return sampler->options.cost * (sampler->monitor == NULL ? 1 : 0.4);
}

/* The length of the next slices, so that the cost stays what it may be: by the cost of
 * the latest wakes, and more or less if all of them together cost too much or little. */
static int64_t slice_within_cost(const gilx_sampler *sampler, int64_t slice, int64_t cost,
                                 int64_t all_cost, int64_t passed) {
    const double share = own_share(sampler);
    double correction = (double)all_cost / (share * (double)passed);
    correction = correction < 0.5 ? 0.5 : correction > 2 ? 2 : correction;
    const double with_listing = 1.0 + 1.0 / (double)LISTING_PART;
    double fit =
        (double)cost / (double)WAKES_BETWEEN_COSTS * with_listing / share * correction;
    const int64_t longest = longest_slice(sampler);
    const double most = 2.0 * (double)longest;
    if (!(fit < most)) { /* it may be out of an integer's range */
        fit = most;
    }
    /* Half way: one expensive wake must not decide. */
    const int64_t next = (slice + (int64_t)fit) / 2;
    return next < SHORTEST_SLICE_NS ? SHORTEST_SLICE_NS : next > longest ? longest : next;
}

/* End with the last read of a process whose memory is there no longer. */
static void lose_process(gilx_sampler *sampler) {
    const int64_t begin = atomic_load(&sampler->begin_ns);
    atomic_store(
        &sampler->end_ns,
        greater_of(sampler->read_ns, begin == INT64_MAX ? gilx_now_ns() : begin));
    atomic_store(&sampler->lost, true);
}

void gilx_close_sampler_files(gilx_sampler *sampler) {
    gilx_close_thread_file(sampler->watched_stat);
    sampler->watched_stat = -1;
    gilx_close_files(sampler);
    gilx_memory_close(&sampler->memory);
    if (sampler->sites != NULL) {
        gilx_sites_close_files(sampler->sites);
    }
    if (sampler->monitor != NULL) {
        gilx_monitor_close_log(sampler->monitor);
    }
}

void gilx_forget_sampler_files(gilx_sampler *sampler) {
    sampler->watched_stat = sampler->memory.file = sampler->memory.other = -1;
    gilx_memory_close(&sampler->memory); /* it may be mapped */
    if (sampler->sites != NULL) {
        gilx_sites_forget_files(sampler->sites);
    }
    if (sampler->monitor != NULL) {
        gilx_monitor_forget_log(sampler->monitor);
    }
}

/* Open what the thread reads and writes where the program can't put other files in its
 * place, if that is possible. Returns 0 or an errno. */
static int open_files(gilx_sampler *sampler) {
    const gilx_memory *given = &sampler->given;
    /* A monitor is not of another process. */
    const int kept = given->process != 0        ? given->file
                     : sampler->monitor != NULL ? gilx_monitor_log(sampler->monitor)
                                                : -1;
    sampler->private_files = gilx_take_private_files(kept);
    if (given->way != GILX_MEMORY_WAYS &&
        !gilx_memory_reopen(&sampler->memory, given, sampler->private_files)) {
        return errno;
    }
    sampler->watched_stat = gilx_high_descriptor(
        gilx_stat_open(sampler->words.process, sampler->options.watched));
    return 0;
}

static void say_running(gilx_sampler *sampler) {
    pthread_mutex_lock(&sampler->mutex);
    sampler->running = true;
    pthread_cond_broadcast(&sampler->changed);
    pthread_mutex_unlock(&sampler->mutex);
}

static void sample_until_stop(gilx_sampler *sampler) {
    gilx_totals *totals = &sampler->totals;
    const bool reference = sampler->options.reference;
    totals->slack = gilx_refuse_slack();
    totals->short_turns = gilx_ask_for_turns(TURN_NS);
    sampler->own_tid = gilx_own_tid();
    gilx_list_threads(sampler);
    gilx_begin_activities(sampler);
    if (sampler->monitor != NULL) {
        gilx_monitor_begin(sampler);
    }

    say_running(sampler);
    const int64_t start = gilx_now_ns(), start_cost = gilx_own_cpu_ns();
    const double first = (double)FIRST_WAKE_COST_NS / own_share(sampler);
    int64_t slice = reference ? REFERENCE_SLICE_NS
                    : first > (double)longest_slice(sampler)
                        ? longest_slice(sampler)
                        : greater_of((int64_t)first, SHORTEST_SLICE_NS);
    int64_t from = start, cost = start_cost;
    int64_t listed = start_cost, listing = 0; /* CPU time at the last listing; its cost */
    int64_t paused = 0;                       /* time that a listing took off a slice */
    for (int64_t wake = 1;; ++wake) {
        const double draw = reference ? 0 : gilx_uniform(&sampler->random);
        const int64_t due = from + (int64_t)(draw * (double)slice);
        /* The spinning sampler checks for the stop without sleeping. */
        if (!sleep_until_sample(sampler, reference ? 0 : due)) {
            break;
        }
        pthread_mutex_lock(&sampler->sums);
        read_counts burst;
        /* The state costs a tenth of a wake, so it is not asked for each time. */
        const int64_t length = sampler->free != NULL ? 0 : reference ? slice : BURST_NS;
        const bool with_state = sampler->monitor == NULL && wake % 2 == 0;
        int64_t now =
            (with_state ? read_burst_and_state : read_burst)(sampler, length, &burst);
        if (burst.reads == 0) {
            lose_process(sampler);
            pthread_mutex_unlock(&sampler->sums);
            break;
        }
        if (sampler->free != NULL) {
            now = gilx_free_sample_world(sampler, BURST_NS);
        } else if (sampler->sites != NULL) {
            sample_site(sampler, &burst);
        }
        /* Time that was slept through, or for which the CPU was taken away. */
        const int64_t passed = now - from - slice;
        const int64_t missed = passed > slice || reference ? greater_of(passed, 0) : 0;
        if (due >= atomic_load(&sampler->begin_ns) &&
            burst.at_ns <= atomic_load(&sampler->end_ns)) {
            const bool late =
                count(sampler, &burst, due, (double)(slice + missed + paused));
            /* The spinning sampler itself needs some time between its samples. */
            if (reference && !late && missed > LATE_NS) {
                sampler->totals.unknown += (double)missed;
            }
        }
        paused = 0;
        from += slice + missed;
        if (wake % WAKES_BETWEEN_COSTS == 0) {
            int64_t spent = gilx_own_cpu_ns();
            if (!reference) {
                slice = slice_within_cost(sampler, slice, spent - cost,
                                          spent - start_cost, now - start);
            }
            if (spent - listed >= LISTING_PART * listing) {
                gilx_list_threads(sampler);
                listed = gilx_own_cpu_ns();
                listing = listed - spent;
                spent = listed;
                now = gilx_now_ns();
                paused = greater_of(now - from, 0);
                from += paused;
            }
            cost = spent;
            totals->slice_ns = slice;
            totals->cost_ns = spent - start_cost;
        }
        pthread_mutex_unlock(&sampler->sums);
        if (sampler->monitor != NULL) {
            gilx_monitor_look(sampler, burst.locked == burst.reads);
        }
    }
    if (sampler->monitor != NULL) {
        gilx_monitor_end(sampler);
    }
    pthread_mutex_lock(&sampler->sums);
    totals->slice_ns = slice;
    totals->cost_ns = gilx_own_cpu_ns() - start_cost;
    pthread_mutex_unlock(&sampler->sums);
}

void gilx_sampling_thread(void *argument) {
    gilx_sampler *sampler = argument;
    gilx_name_thread(GILX_SAMPLER_NAME);
    sampler->status = open_files(sampler);
    if (sampler->status == 0) {
        sample_until_stop(sampler);
        pthread_mutex_lock(&sampler->sums);
        gilx_end_activities(sampler);
        pthread_mutex_unlock(&sampler->sums);
    } else {
        say_running(sampler);
    }
    gilx_close_sampler_files(sampler);
}
