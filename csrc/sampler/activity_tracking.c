#define _POSIX_C_SOURCE 200809L

#include "sampler_state.h"

#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "condition.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "thread_activity.h"

enum {
    /* Of so many threads whose files are open, each sample reads those. To open one takes
     * as long as several reads, and the next samples read fewer. */
    READS_PER_SAMPLE = GILX_ACTIVITIES_KEPT,
    READS_OF_OPENING = 12,
    READS_OF_FRAME = 3,                     /* one is read in a sample */
    READS_OF_STATE = 1,                     /* without a GIL */
    READS_OF_ACTIVE = READS_PER_SAMPLE / 2, /* that threads active lately have alone, */
    ASKED_LATELY = 64,                      /* if asked in one of so many samples */
    MOST_FILES = 64,    /* that are kept open in the program's table of files, */
    PART_OF_LIMIT = 16, /* or this part of what the program may open, if that is less, */
    MOST_PRIVATE_FILES = 512, /* and in a table of the sampler's own */
};

/* Note why a file of a thread could not be opened, if it was there. */
static void note_failure(gilx_sampler *sampler, int file) {
    if (file < 0 && errno != ENOENT && errno != ESRCH) {
        sampler->totals.unread_errno = errno;
    }
}

/* Whether Linux still lets this process read what the threads do. */
static bool can_read(gilx_sampler *sampler) {
    char text[GILX_SYSCALL_SIZE];
    const int64_t process = sampler->words.process;
    const int64_t tid = process == 0 ? sampler->own_tid : sampler->options.watched;
    const int file = gilx_syscall_open(process, tid);
    note_failure(sampler, file);
    const bool readable = file >= 0 && gilx_syscall_read(file, text);
    if (file >= 0) {
        close(file);
    }
    return readable;
}

/* Return how many files may be kept open. */
static int most_files(bool private) {
    struct rlimit limit;
    const rlim_t most = private ? MOST_PRIVATE_FILES : MOST_FILES;
    const rlim_t parts = private ? 2 : PART_OF_LIMIT;
    const bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0;
    const rlim_t part = known ? limit.rlim_cur / parts : most;
    return (int)(part < most ? part : most);
}

void gilx_begin_activities(gilx_sampler *sampler) {
    gilx_totals *totals = &sampler->totals;
    const bool known = sampler->options.lock_known;
    const gilx_condition_layout *layout = &sampler->condition;
    sampler->most_files = most_files(sampler->private_files);
    totals->wishes = sampler->options.states.waits != 0;
    totals->calls = layout->calls && can_read(sampler);
    totals->addresses = layout->addresses && totals->calls && known;
    if (totals->addresses) {
        sampler->gil.begin =
            gilx_original_words(&sampler->words) + sizeof(gilx_gil_struct);
        sampler->gil.end = sampler->gil.begin + GILX_LOCK_SIZE;
    }
    const void *condition =
        (const char *)sampler->words.interval + sizeof(gilx_gil_struct);
    sampler->waiters = known && gilx_refresh_words(sampler)
                           ? gilx_condition_count(layout, condition)
                           : NULL;
}

/* ---- holds ------------------------------------------------------------------------ */

/* Add a share to those of a sample. Returns how many there are then. */
static int join(gilx_holding *holdings, int count, gilx_holding one) {
    for (int i = 0; i < count; ++i) {
        if (holdings[i].place == one.place) {
            holdings[i].share += one.share;
            return count;
        }
    }
    holdings[count] = one;
    return count + 1;
}

void gilx_count_holders(gilx_sampler *sampler, double weight,
                        const gilx_holding *holdings, int count) {
    gilx_holding all[2 * GILX_HOLDERS];
    int number = 0;
    for (int i = 0; i < sampler->held_count; ++i) {
        all[number++] = (gilx_holding){sampler->held[i].place, 0};
    }
    for (int i = 0; i < count; ++i) {
        number = join(all, number, holdings[i]);
    }
    sampler->held_count = 0;
    for (int i = 0; i < number; ++i) {
        gilx_activity_hold(&sampler->table.threads[all[i].place].does, weight,
                           all[i].share, sampler->totals.wakes);
        if (all[i].share > 0) {
            sampler->held[sampler->held_count++] = all[i];
        }
    }
}

/* Whether a thread holds the GIL now, as far as it did so in a sample before. */
static bool holds_now(gilx_sampler *sampler, const gilx_watched_thread *thread) {
    return thread->state != 0 && gilx_refresh_words(sampler) &&
           gilx_gil_locked(&sampler->words) &&
           gilx_gil_holder(&sampler->words) == thread->state;
}

/* ---- one thread ------------------------------------------------------------------- */

static int64_t cpu_ns_of(const gilx_sampler *sampler, const gilx_watched_thread *thread) {
    return gilx_cpu_ns_of(sampler->words.process, thread->tid);
}

/* Whether a thread is on a CPU: its clock runs. That is not known of other processes. */
static bool on_cpu(const gilx_sampler *sampler, const gilx_watched_thread *thread) {
    if (sampler->words.process != 0) {
        return false;
    }
    const int64_t before = cpu_ns_of(sampler, thread);
    return cpu_ns_of(sampler, thread) != before;
}

/* Keep a file open if there are not too many, in a place for its descriptor. */
static void keep_or_close(gilx_sampler *sampler, int file, int *place) {
    if (file >= 0 && sampler->files < sampler->most_files) {
        *place = gilx_high_descriptor(file);
        ++sampler->files;
    } else if (file >= 0) {
        close(file);
    }
}

/* Read for how long a thread has waited for a CPU. A wait counts when it has ended. */
static void read_cpu_wait(gilx_sampler *sampler, gilx_watched_thread *thread) {
    gilx_thread_activities *does = &thread->does;
    const bool open = thread->schedstat >= 0;
    const int file = open ? thread->schedstat
                          : gilx_schedstat_open(sampler->words.process, thread->tid);
    const int64_t waited = gilx_cpu_wait_ns(file);
    if (!open) {
        keep_or_close(sampler, file, &thread->schedstat);
    }
    if (waited >= 0) {
        does->wait_last_ns = waited;
        if (does->wait_first_ns < 0) {
            does->wait_first_ns = waited;
        }
    }
}

/* Read what Linux says of a thread. Returns what that cost, in reads. */
static int read_text(gilx_sampler *sampler, gilx_watched_thread *thread,
                     char text[GILX_SYSCALL_SIZE], bool *there) {
    int file = thread->syscall;
    const bool open = file >= 0;
    if (!open) {
        file = gilx_syscall_open(sampler->words.process, thread->tid);
        note_failure(sampler, file);
    }
    *there = file >= 0 && gilx_syscall_read(file, text);
    if (!open) {
        keep_or_close(sampler, file, &thread->syscall);
    }
    return open ? 1 : READS_OF_OPENING;
}

/* Whether a thread that holds the GIL and is not known to be on a CPU could run. That of
 * this process's threads is taken to be so: hardly any C code sleeps while it holds. */
static bool may_run(gilx_sampler *sampler, gilx_watched_thread *thread, int *cost) {
    char text[GILX_SYSCALL_SIZE];
    bool there = false;
    if (sampler->words.process == 0) {
        return true;
    }
    if (sampler->totals.calls) {
        *cost += read_text(sampler, thread, text, &there);
    }
    return there && gilx_activity_of(text, &sampler->gil) == GILX_ON_CPU;
}

static void close_file(gilx_sampler *sampler, int *file) {
    if (*file >= 0) {
        gilx_close_thread_file(*file);
        *file = -1;
        --sampler->files;
    }
}

void gilx_close_files_of(gilx_sampler *sampler, gilx_watched_thread *thread) {
    close_file(sampler, &thread->syscall);
    close_file(sampler, &thread->schedstat);
}

/* Whether a thread whose file would have to be opened is known to do what it did: if it
 * waited, and its CPU clock stands. */
static bool still_waits(const gilx_sampler *sampler, gilx_watched_thread *thread) {
    if (thread->syscall >= 0 || sampler->files < sampler->most_files) {
        return false;
    }
    const int64_t last = thread->does.asked_cpu_ns;
    const gilx_activity activity = thread->does.last;
    thread->does.asked_cpu_ns = cpu_ns_of(sampler, thread);
    return last >= 0 && last == thread->does.asked_cpu_ns &&
           activity >= GILX_AWAITS_GIL && activity <= GILX_CALLS_SYSTEM;
}

/* Find out what a thread does that did not hold the GIL in all of this sample. Returns
 * what that cost, in reads. */
static int find_activity(gilx_sampler *sampler, int place, gilx_activity *activity) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    char text[GILX_SYSCALL_SIZE];
    int cost = 1;
    bool there = false;
    *activity = GILX_DOES_UNKNOWN;
    if (holds_now(sampler, thread)) {
        *activity = GILX_HOLDS_GIL;
        return cost;
    }
    if (still_waits(sampler, thread)) {
        *activity = thread->does.last;
        return cost;
    }
    gilx_free_reading before = {.known = false};
    if (sampler->free != NULL) {
        before = gilx_free_read_thread(sampler, place);
    }
    if (sampler->totals.calls) {
        cost = read_text(sampler, thread, text, &there);
        if (there && sampler->free != NULL) {
            *activity = gilx_free_activity(sampler, place, text, before);
            return cost + READS_OF_STATE;
        }
        if (there) {
            *activity = gilx_activity_of(text, &sampler->gil);
        } else if (cpu_ns_of(sampler, thread) < 0) {
            thread->ended = true;
            gilx_close_files_of(sampler, thread);
            return cost;
        }
    }
    bool wants = false;
    const bool known = gilx_wants_gil(sampler, place, &wants);
    if (known && there && sampler->totals.addresses) {
        ++sampler->totals.compared;
        sampler->totals.agreed += wants == (*activity == GILX_AWAITS_GIL);
    }
    /* Linux does not know of those that are just awake to see whether the GIL is free, or
     * perhaps of any. */
    if (wants && (*activity == GILX_ON_CPU || *activity == GILX_DOES_UNKNOWN ||
                  (*activity == GILX_AWAITS_LOCK && !sampler->totals.addresses))) {
        *activity = GILX_AWAITS_GIL;
    }
    if (*activity == GILX_ON_CPU && !on_cpu(sampler, thread)) {
        *activity = GILX_OFF_CPU;
        read_cpu_wait(sampler, thread);
    }
    if (holds_now(sampler, thread)) { /* perhaps it already did */
        *activity = GILX_HOLDS_GIL;
    }
    return cost;
}

/* Add a time for which a thread waited for a lock, and find out where it waits, if that
 * was not done for another one in this sample. Returns what that cost, in reads. */
static int place_wait(gilx_sampler *sampler, int place, bool gil, double time) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    gilx_thread_activities *does = &thread->does;
    double *unplaced = &does->unplaced[gil ? 0 : 1];
    *unplaced += time;
    if (sampler->sites == NULL) {
        return 0;
    }
    int cost = 0;
    const int64_t cpu = cpu_ns_of(sampler, thread);
    if (cpu < 0 || cpu != does->placed_cpu_ns) { /* else it has not moved */
        if (sampler->placed == sampler->totals.wakes) {
            return 0;
        }
        sampler->placed = sampler->totals.wakes;
        const uintptr_t state = gilx_has_state(sampler, place) ? thread->state : 0;
        does->placed = gilx_sites_of_wait(sampler->sites, &sampler->memory, state);
        does->placed_cpu_ns = cpu;
        cost = READS_OF_FRAME;
    }
    gilx_sites_wait(sampler->sites, does->placed, gil, *unplaced);
    *unplaced = 0;
    return cost;
}

/* Ask a thread what it does. Returns what that cost, in reads. */
static int poll_activity(gilx_sampler *sampler, int place, gilx_sample *sample) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    gilx_thread_activities *does = &thread->does;
    const double counted = sampler->totals.counted;
    const double held = does->sums[GILX_HOLDS_GIL].time;
    const double whole = counted - does->asked, part = whole - (held - does->asked_held);
    int cost = 1;
    thread->asked = sampler->totals.wakes;
    ++does->reads;
    ++sampler->totals.asked;
    if (part < whole * 1e-9) { /* it did nothing else */
        if (!on_cpu(sampler, thread) && may_run(sampler, thread, &cost)) {
            does->held_off_cpu += whole;
            read_cpu_wait(sampler, thread);
            gilx_activity_held_ready(does, whole);
        }
        gilx_activity_add(does, does->last, whole, 0);
    } else {
        gilx_activity activity;
        cost = find_activity(sampler, place, &activity);
        if (activity == GILX_HOLDS_GIL || thread->ended) {
            return cost; /* the next answer will be about this time, too */
        }
        double spent = part, waited = part;
        if (sampler->free != NULL) {
            read_cpu_wait(sampler, thread);
            spent = gilx_free_count(sampler, place, activity, whole, &waited);
        }
        gilx_activity_add(does, activity, whole, spent);
        if (activity == GILX_AWAITS_GIL || activity == GILX_AWAITS_LOCK ||
            activity == GILX_SPINS) {
            cost += place_wait(sampler, place, activity == GILX_AWAITS_GIL, waited);
        }
        if (activity == GILX_OFF_CPU && sampler->words.process != 0) {
            activity = gilx_activity_ready(does, spent);
        }
        if (sample->deeds < GILX_ACTIVITIES_KEPT) {
            sample->did[sample->deeds++] =
                (gilx_deed){.place = (uint16_t)place, .activity = (uint8_t)activity};
        }
    }
    does->asked = counted;
    does->asked_held = held;
    return cost;
}

/* ---- all threads ------------------------------------------------------------------ */

/* Leave unknown what a thread did since it was last asked. */
static void leave_unknown(const gilx_sampler *sampler, gilx_thread_activities *does) {
    does->asked = sampler->totals.counted;
    does->asked_held = does->sums[GILX_HOLDS_GIL].time;
}

/* Ask some of the threads that were active lately, in turn, since it is these that change
 * what they do. An answer stands for all time since the last one: one that is sought
 * since a thread has just become active would make it active for all of that. So a thread
 * that was not asked lately is asked in the next turn. */
static void poll_active(gilx_sampler *sampler, gilx_sample *sample) {
    const int64_t now = sampler->totals.wakes;
    for (int i = 0; i < sampler->active_count && sampler->reads_left > READS_OF_ACTIVE;
         ++i) {
        const int place = sampler->active[sampler->next_active++ % sampler->active_count];
        sampler->next_active %= sampler->active_count;
        gilx_watched_thread *thread = &sampler->table.threads[place];
        if (thread->ended) {
            continue;
        }
        if (now - thread->asked < ASKED_LATELY * sampler->ask_every) {
            sampler->reads_left -= poll_activity(sampler, place, sample);
        } else {
            leave_unknown(sampler, &thread->does);
            thread->asked = now;
        }
    }
}

void gilx_poll_activities(gilx_sampler *sampler, gilx_sample *sample) {
    if (!sampler->totals.calls && !sampler->totals.wishes) {
        return;
    }
    sampler->totals.askable += sampler->alive_count;
    /* What one sample spends too much, the next ones lack. */
    const int left = sampler->reads_left + READS_PER_SAMPLE;
    sampler->reads_left = left < READS_PER_SAMPLE ? left : READS_PER_SAMPLE;
    if (sampler->alive_count > READS_PER_SAMPLE) {
        poll_active(sampler, sample);
    }
    for (int i = 0; i < sampler->alive_count && sampler->reads_left > 0; ++i) {
        const int place = sampler->alive[sampler->next_alive++ % sampler->alive_count];
        sampler->next_alive %= sampler->alive_count;
        const gilx_watched_thread *thread = &sampler->table.threads[place];
        if (!thread->ended && thread->asked != sampler->totals.wakes) {
            sampler->reads_left -= poll_activity(sampler, place, sample);
        }
    }
}

void gilx_close_files(gilx_sampler *sampler) {
    for (int i = 0; i < sampler->table.count && sampler->files > 0; ++i) {
        gilx_close_files_of(sampler, &sampler->table.threads[i]);
    }
}

/* Add the time since a thread was last asked, if it has waited all the while: it did so
 * when it was found where it waits, and has not run since. */
static void add_last_wait(gilx_sampler *sampler, int place) {
    gilx_watched_thread *thread = &sampler->table.threads[place];
    gilx_thread_activities *does = &thread->does;
    const bool gil = does->last == GILX_AWAITS_GIL;
    const double whole = sampler->totals.counted - does->asked;
    const double held = does->sums[GILX_HOLDS_GIL].time - does->asked_held;
    if (thread->ended || whole <= 0 || held > 0 ||
        !(gil || does->last == GILX_AWAITS_LOCK) || does->placed_cpu_ns < 0 ||
        cpu_ns_of(sampler, thread) != does->placed_cpu_ns) {
        return;
    }
    gilx_activity_add(does, does->last, whole, whole);
    gilx_sites_wait(sampler->sites, does->placed, gil,
                    does->unplaced[gil ? 0 : 1] + whole);
    does->unplaced[gil ? 0 : 1] = 0;
    does->asked = sampler->totals.counted;
}

void gilx_end_activities(gilx_sampler *sampler) {
    for (int i = 0; i < sampler->table.count; ++i) {
        gilx_watched_thread *thread = &sampler->table.threads[i];
        add_last_wait(sampler, i);
        for (int lock = 0; lock < 2 && sampler->sites != NULL; ++lock) {
            if (thread->does.unplaced[lock] > 0) { /* it may wait elsewhere now */
                gilx_sites_wait(sampler->sites, GILX_SITE_UNKNOWN, lock == 0,
                                thread->does.unplaced[lock]);
                thread->does.unplaced[lock] = 0;
            }
        }
        if (thread->does.wait_first_ns >= 0 && !thread->ended && sampler->free == NULL) {
            read_cpu_wait(sampler, thread); /* the last wait may have ended since */
        }
        if (!thread->ended) {
            thread->does.alive_until = sampler->totals.counted;
        }
    }
}
