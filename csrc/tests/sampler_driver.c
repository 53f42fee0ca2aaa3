/* Runs the sampler against GILs that are only three words, for the thread sanitizer.
 *
 * The exit status is 0 if all sums are right. The shares are not judged, since the
 * sanitizer slows everything down.
 */
#define _GNU_SOURCE
#define DRIVER "sampler_driver"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../sampler/linux_threads.h"
#include "../sampler/sampler.h"
#include "fake_gil.h"

enum {
    THREADS = 3,
    ROUNDS = 8,
    ROUNDS_WITH_STACKS = LAST_VERSION + 1 - FIRST_VERSION,
};

/* A thread state has its words at some places that the stack does not use. */
enum { TID = 400, ID = 408, WAITS = 416 };

typedef struct {
    fake_stack stack;
    fake_gil *gil;
    _Atomic unsigned long tid;
    _Atomic int64_t begun_ns;   /* the hold that goes on, or the last one, */
    _Atomic int64_t longest_ns; /* and the longest one that has ended */
} fake_thread;

/* Function 0 calls each of the others in turn, which hold the GIL for a while. */
static void *hold_and_release(void *argument) {
    fake_thread *thread = argument;
    fake_gil *gil = thread->gil;
    fake_stack *stack = &thread->stack;
    const unsigned long tid = (unsigned long)gilx_own_tid();
    fake_store(stack->state, TID, tid);
    atomic_store(&thread->tid, tid);
    fake_call(stack, 0, 0, 0);
    for (uintptr_t calls = 1; !atomic_load(&gil->stop); ++calls) {
        pthread_mutex_lock(&gil->lock);
        const int64_t begun = gilx_now_ns();
        atomic_store(&thread->begun_ns, begun);
        /* No two holds have the same variables: one is not taken for the other. */
        fake_advance(stack, 0, 0, calls);
        take(gil, stack);
        fake_call(stack, 1 + (int)(calls % (FAKE_FUNCTIONS - 1)), FAKE_UNITS - 1, calls);
        gilx_sleep_ns(200 * 1000);
        fake_return(stack);
        release(gil);
        const int64_t length = gilx_now_ns() - begun;
        if (length > atomic_load(&thread->longest_ns)) {
            atomic_store(&thread->longest_ns, length);
        }
        pthread_mutex_unlock(&gil->lock);
        gilx_sleep_ns(100 * 1000);
    }
    return NULL;
}

static fake_thread *thread_of(fake_thread *threads, int64_t tid) {
    for (int i = 0; i < THREADS; ++i) {
        if ((int64_t)atomic_load(&threads[i].tid) == tid) {
            return &threads[i];
        }
    }
    return NULL;
}

/* Samples have the sites that were counted, if stacks are read and all samples are kept.
 */
static void samples_have_sites(const gilx_sampler *sampler, int threads,
                               int64_t capacity) {
    const gilx_sites *sites = gilx_sampler_sites(sampler);
    const int number = sites == NULL ? 0 : gilx_sites_number(sites);
    int64_t held = 0, samples = 0;
    for (int64_t i = 0; i < gilx_sampler_sample_count(sampler); ++i) {
        const gilx_sample *sample = gilx_sampler_sample(sampler, i);
        expect(sample->site >= -1 && sample->site < number,
               "a sample has a site that exists");
        expect(sample->site < 0 || sample->site_place == GILX_UNKNOWN_THREAD ||
                   sample->site_place < threads,
               "the thread that held it there is known");
        held += sample->site >= 0;
    }
    for (int i = 0; i < number; ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        samples += gilx_sites_site(sites, i, &kind, &spot, &function)->samples;
    }
    expect(gilx_sampler_totals(sampler)->wakes > capacity || held == samples,
           "each sample of a site is one of all samples");
}

/* What was seen of stacks is what the threads did, and no more. */
static void sites_are_right(const gilx_sampler *sampler, fake_thread *threads) {
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    const gilx_sites *sites = gilx_sampler_sites(sampler);
    const gilx_watched_thread *watched;
    const int count = gilx_sampler_threads(sampler, &watched);
    double held = 0, squares = 0;
    int64_t samples = 0;
    for (int i = 0; i < gilx_sites_number(sites); ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        const gilx_site *site = gilx_sites_site(sites, i, &kind, &spot, &function);
        held += site->held;
        squares += site->squares;
        samples += site->samples;
        expect(site->below <= site->held && site->low <= site->high &&
                   site->steps <= totals->stacks_squares,
               "parts of a site are no more than the whole");
        expect(kind != GILX_SITE_EMPTY || site->samples == 0, "all run Python code");
        expect(kind != GILX_SITE_OTHER || site->samples == 0, "no table is full");
        if (kind != GILX_SITE_LINE || site->samples == 0) {
            continue;
        }
        int number, which;
        expect(sscanf(function->name, "thread%d.function%d", &number, &which) == 2 &&
                   number >= 0 && number < THREADS && which >= 0 &&
                   which < FAKE_FUNCTIONS,
               "it is a function of theirs");
        expect(strcmp(function->file, FAKE_FILE) == 0, "in their file");
        expect(function->first_line == 100 * which, "on its line,");
        expect(spot->line == 100 * which + (which == 0 ? 1 : 2),
               "and the right one in it");
        expect(!site->several, "no other thread ran it");
        expect(site->place == GILX_UNKNOWN_THREAD ||
                   thread_of(threads, watched[site->place].tid) == &threads[number],
               "but the one to which it belongs");
    }
    const gilx_call_tree *calls = gilx_sites_calls(sites);
    double held_in_all = 0;
    for (int i = 0; i < gilx_call_tree_size(calls); ++i) {
        const gilx_call *call = gilx_call_tree_at(calls, i);
        expect(call->parent < i && call->cut == 0, "a caller comes before its calls");
        held_in_all += call->held;
    }
    expect(held_in_all >= held * 0.999999 && held_in_all <= held * 1.000001,
           "the calls have what the sites have");
    expect(held <= totals->stacks_counted * 1.000001 && samples <= totals->wakes &&
               squares <= totals->stacks_squares * 1.000001,
           "the sites are part of the whole,");
    expect(totals->stacks_counted >= totals->counted * 0.999999 &&
               totals->stacks_counted <= totals->counted * 1.000001,
           "for which all samples count");
    const gilx_stretches *stretches = gilx_sites_stretches(sites, false);
    expect(gilx_sites_stretches(sites, true)->count == 0,
           "the watched one holds nothing");
    expect(stretches->count <= GILX_STRETCHES, "so many stretches are kept");
    for (int i = 0; i < stretches->count; ++i) {
        const gilx_stretch *one = &stretches->longest[i];
        expect(one->low >= 0 && one->low <= one->high, "bounds are in order");
        expect(i == 0 || stretches->longest[i - 1].low >= one->low, "and the stretches");
        if (one->place == GILX_UNKNOWN_THREAD) {
            continue;
        }
        expect(one->place < count, "its thread is in the table");
        fake_thread *thread = thread_of(threads, watched[one->place].tid);
        expect(thread != NULL, "and is one of them");
        const int64_t going_on = gilx_now_ns() - atomic_load(&thread->begun_ns);
        const int64_t longest = atomic_load(&thread->longest_ns);
        expect(one->low <= (going_on > longest ? going_on : longest),
               "no stretch is longer than the longest hold");
    }
}

static void watch(const gilx_gil_words *words, fake_thread *threads, bool reference,
                  int64_t capacity, const gilx_stack_layout *stacks) {
    const gilx_sampler_options options = {
        .watched = gilx_own_tid(),
        .cost = 0.2,
        .reference = reference,
        .seed = 1,
        .capacity = capacity,
        .states = {.tid = TID, .id = ID, .waits = WAITS},
        .stacks = stacks,
        .calls = true,
        .code_type = (uintptr_t)fake_code_type,
    };
    gilx_memory memory;
    gilx_sampler *sampler = gilx_sampler_new(words, &options, opened(&memory));
    expect(sampler != NULL, "there is memory for a sampler");
    expect(gilx_sampler_start(sampler) == 0, "it starts");
    gilx_sampler_begin(sampler);
    gilx_sleep_ns(50 * 1000 * 1000);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    const gilx_totals *totals = gilx_sampler_totals(sampler);
    const gilx_watched_thread *watched;
    double held = totals->unidentified;
    const int count = gilx_sampler_threads(sampler, &watched);
    for (int i = 0; i < count; ++i) {
        held += watched[i].does.sums[GILX_HOLDS_GIL].time;
    }
    expect(watched[0].tid == options.watched, "the watched thread comes first");
    expect(held >= totals->locked.x * 0.999 && held <= totals->locked.x * 1.001,
           "the holders' shares make the whole");
    expect(totals->own.x <= totals->locked.x * 1.001, "one's share is part of it");
    expect(totals->hold_min_ns <= totals->hold_max_ns, "the bounds are in order");
    expect(gilx_sampler_sample_count(sampler) ==
               (totals->wakes < capacity ? totals->wakes : capacity),
           "the samples are kept");
    for (int64_t i = 1; i < gilx_sampler_sample_count(sampler); ++i) {
        expect(gilx_sampler_sample(sampler, i - 1)->at_ns <
                   gilx_sampler_sample(sampler, i)->at_ns,
               "the samples are in order");
    }
    expect((gilx_sampler_sites(sampler) != NULL) == (stacks != NULL),
           "stacks are read if they are asked for");
    if (stacks != NULL) {
        sites_are_right(sampler, threads);
    }
    samples_have_sites(sampler, count, capacity);
    gilx_sampler_free(sampler);
}

/* The child has no such thread, and must get through all the same. */
static void fork_while_watched(const gilx_gil_words *words,
                               const gilx_stack_layout *stacks) {
    const gilx_sampler_options options = {.watched = gilx_own_tid(),
                                          .cost = 0.2,
                                          .capacity = 16,
                                          .stacks = stacks,
                                          .code_type = (uintptr_t)fake_code_type};
    gilx_memory memory;
    gilx_sampler *sampler = gilx_sampler_new(words, &options, opened(&memory));
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0, "it starts");
    gilx_sampler_begin(sampler);
    const pid_t child = fork();
    if (child == 0) {
        gilx_sampler_end(sampler);
        gilx_sampler_stop(sampler);
        const bool forked = gilx_sampler_forked(sampler);
        gilx_sampler_free(sampler);
        _exit(forked ? 0 : 1);
    }
    int status = -1;
    expect(waitpid(child, &status, 0) == child && status == 0, "the child gets through");
    expect(!gilx_sampler_forked(sampler), "the parent is not a child");
    gilx_sampler_free(sampler);
}

int main(void) {
    static fake_gil gil = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static fake_thread threads[THREADS];
    const gilx_gil_words words = words_of(&gil);
    for (int round = 0; round < ROUNDS + ROUNDS_WITH_STACKS; ++round) {
        const int version = FIRST_VERSION + round % ROUNDS_WITH_STACKS;
        pthread_t handles[THREADS];
        atomic_store(&gil.stop, false);
        for (int i = 0; i < THREADS; ++i) {
            fake_stack_make(&threads[i].stack, layout_of(version), i);
            threads[i].gil = &gil;
            expect(pthread_create(&handles[i], NULL, hold_and_release, &threads[i]) == 0,
                   "threads can be made");
        }
        const bool reference = round % 4 == 3 && round < ROUNDS;
        watch(&words, threads, reference, round % 2 ? 16 : 0,
              round < ROUNDS ? NULL : layout_of(version));
        if (round + 1 == ROUNDS || round + 1 == ROUNDS + ROUNDS_WITH_STACKS) {
            fork_while_watched(&words, round < ROUNDS ? NULL : layout_of(version));
        }
        atomic_store(&gil.stop, true);
        for (int i = 0; i < THREADS; ++i) {
            pthread_join(handles[i], NULL);
        }
    }
    puts(DRIVER ": fine");
    return 0;
}
