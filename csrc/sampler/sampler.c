#define _POSIX_C_SOURCE 200809L

#include "sampler.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/touched_memory.h"
#include "free_tracking.h"
#include "linux_threads.h"
#include "monitor_state.h"
#include "sampler_state.h"

/* How long to wait for the new thread: it needs a CPU for a moment, nothing else. */
static const int64_t START_TIMEOUT_NS = 10000000000;

/* Most of what a sample costs is to ask threads what they do, and a monitor runs for
 * days. */
enum { MONITOR_ASKS_EVERY = 4 };

static const gilx_memory CLOSED = {.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};

/* Return the words of a copy of another process's GIL. */
static gilx_gil_words words_in(const gilx_gil_copy *copy, const gilx_gil_words *given) {
    return (gilx_gil_words){.interval = &copy->words.interval,
                            .holder = &copy->words.holder,
                            .locked = &copy->words.locked,
                            .switches = &copy->words.switches,
                            .process = given->process,
                            .original = given->original};
}

bool gilx_copy_words(gilx_sampler *sampler, gilx_memory *memory) {
    gilx_gil_copy copy;
    if (!gilx_memory_read(memory, (const void *)sampler->words.original, &copy,
                          sizeof(copy))) {
        return false;
    }
    sampler->copy = copy;
    return true;
}

static void free_parts(gilx_sampler *sampler) {
    gilx_sites_free(sampler->sites);
    gilx_monitor_free(sampler->monitor);
    free(sampler->nested);
    free(sampler->free);
    free(sampler->samples);
    free(sampler);
}

/* Allocate what a sampler with these options has. Returns false, with errno set, if
 * memory runs out or the log of a monitor can't be opened. */
static bool allocate_parts(gilx_sampler *sampler) {
    const gilx_gil_words *words = &sampler->words;
    gilx_sampler_options *options = &sampler->options;
    if (options->capacity > 0) {
        sampler->samples = calloc((size_t)options->capacity, sizeof(*sampler->samples));
        if (sampler->samples == NULL) {
            return false;
        }
        /* Touched now, so that no page has to be found while it looks. */
        memset(sampler->samples, 1,
               (size_t)options->capacity * sizeof(*sampler->samples));
    }
    if (options->monitor != NULL) {
        sampler->monitor = gilx_monitor_new(words, options);
        if (sampler->monitor == NULL) {
            return false;
        }
        options->monitor = NULL; /* it has a copy */
    } else if (options->stacks != NULL) {
        sampler->sites = gilx_sites_new(words, options->stacks, options->code_type,
                                        options->collecting, options->calls);
        if (sampler->sites == NULL) {
            return false;
        }
    }
    if (options->free_threads != NULL) {
        sampler->free = gilx_free_tracking_new(options->free_threads);
        if (sampler->free == NULL) {
            return false;
        }
    }
    if (words->process != 0 && gilx_is_nested(words->process)) {
        sampler->nested = gilx_nested_ids_new(words->process);
        return sampler->nested != NULL;
    }
    return true;
}

gilx_sampler *gilx_sampler_new(const gilx_gil_words *words,
                               const gilx_sampler_options *options, gilx_memory *memory) {
    /* Threads that are not there take no memory. */
    gilx_sampler *sampler =
        gilx_allocate_touched(sizeof(*sampler), offsetof(gilx_sampler, table.threads));
    if (sampler == NULL) {
        return NULL;
    }
    sampler->words = words->process == 0 ? *words : words_in(&sampler->copy, words);
    sampler->options = *options;
    sampler->random = options->seed;
    sampler->watched_stat = -1;
    atomic_init(&sampler->begin_ns, INT64_MAX);
    atomic_init(&sampler->end_ns, INT64_MAX);
    atomic_init(&sampler->lost, false);
    if (!allocate_parts(sampler)) {
        const int status = errno;
        free_parts(sampler);
        errno = status;
        return NULL;
    }
    sampler->memory = sampler->given = CLOSED;
    if (memory != NULL) {
        sampler->given = *memory;
        *memory = CLOSED;
    }
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&sampler->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&sampler->mutex, NULL);
    pthread_mutex_init(&sampler->sums, NULL);
    sampler->shrink_at = GILX_THREADS_KEPT;
    sampler->ask_every = sampler->monitor == NULL ? 1 : MONITOR_ASKS_EVERY;
    sampler->ended = gilx_no_activities(0);
    const int watched = gilx_thread_add(&sampler->table, options->watched, true);
    sampler->table.threads[watched].started =
        gilx_start_of(sampler->words.process, options->watched);
    sampler->table.threads[watched].cpu_ns =
        gilx_cpu_ns_of(sampler->words.process, options->watched);
    sampler->table.threads[watched].read_ns = gilx_now_ns();
    return sampler;
}

int gilx_sampler_start(gilx_sampler *sampler) {
    sampler->process = getpid();
    if (!sampler->options.reference) {
        sampler->condition = gilx_condition_certify();
    }
    const int log = sampler->monitor == NULL ? -1 : gilx_monitor_log(sampler->monitor);
    int status = gilx_thread_start(&sampler->thread, gilx_sampling_thread, sampler);
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
    if (!running) {
        return status;
    }
    if (sampler->words.process == 0) {
        gilx_memory_close(&sampler->given); /* the thread has opened its own */
    }
    if (sampler->private_files && log >= 0) {
        close(log); /* it has a copy */
    }
    return sampler->status;
}

/* Return the number of switches, for a thread other than the sampler's, which has no
 * files other than the program's. */
static uint64_t switches_now(gilx_sampler *sampler) {
    if (sampler->words.process != 0) {
        /* The sampler's thread finds out if that fails. */
        (void)gilx_copy_words(sampler, &sampler->given);
    }
    return gilx_gil_switches(&sampler->words);
}

void gilx_sampler_begin(gilx_sampler *sampler) {
    pthread_mutex_lock(&sampler->sums);
    sampler->totals.switches = switches_now(sampler);
    pthread_mutex_unlock(&sampler->sums);
    atomic_store_explicit(&sampler->begin_ns, gilx_now_ns(), memory_order_release);
}

void gilx_sampler_end(gilx_sampler *sampler) {
    if (!gilx_sampler_lost(sampler)) {
        atomic_store(&sampler->end_ns, gilx_now_ns());
    }
    if (gilx_sampler_forked(sampler)) {
        return; /* the lock may stay taken */
    }
    pthread_mutex_lock(&sampler->sums);
    sampler->totals.switches = switches_now(sampler) - sampler->totals.switches;
    pthread_mutex_unlock(&sampler->sums);
}

bool gilx_sampler_lost(const gilx_sampler *sampler) {
    return atomic_load(&sampler->lost);
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
    gilx_memory_close(&sampler->given);

    pthread_mutex_lock(&sampler->sums);
    gilx_totals *totals = &sampler->totals;
    totals->begin_ns = atomic_load(&sampler->begin_ns);
    totals->end_ns = atomic_load(&sampler->end_ns);
    /* A hold can't have gone on after the end either. */
    const int64_t from =
        sampler->free_ns > totals->begin_ns ? sampler->free_ns : totals->begin_ns;
    if (totals->hold_max_ns < totals->end_ns - from) {
        totals->hold_max_ns = totals->end_ns - from;
    }
    gilx_free_tracking_end(sampler);
    if (sampler->sites != NULL) {
        gilx_sites_finish(sampler->sites, totals->end_ns);
        totals->stacks_counted = gilx_sites_counted(sampler->sites);
        totals->stacks_squares = gilx_sites_squares(sampler->sites);
    }
    pthread_mutex_unlock(&sampler->sums);
}

const gilx_totals *gilx_sampler_totals(const gilx_sampler *sampler) {
    return &sampler->totals;
}

int gilx_sampler_threads(const gilx_sampler *sampler,
                         const gilx_watched_thread **threads) {
    *threads = sampler->table.threads;
    return sampler->table.count;
}

int64_t gilx_sampler_sample_count(const gilx_sampler *sampler) {
    const int64_t capacity = sampler->options.capacity;
    return sampler->sample_count < capacity ? sampler->sample_count : capacity;
}

const gilx_sample *gilx_sampler_sample(const gilx_sampler *sampler, int64_t i) {
    const int64_t first = sampler->sample_count - gilx_sampler_sample_count(sampler);
    return &sampler->samples[(first + i) % sampler->options.capacity];
}

const gilx_sites *gilx_sampler_sites(const gilx_sampler *sampler) {
    return sampler->sites;
}

const gilx_free_tracking *gilx_sampler_free_threads(const gilx_sampler *sampler) {
    return sampler->free;
}

void gilx_sampler_free(gilx_sampler *sampler) {
    if (sampler == NULL) {
        return;
    }
    /* In the child of a fork the lock may stay taken, and nobody else closes what the
     * thread had opened in the program's table of files. */
    if (!gilx_sampler_forked(sampler)) {
        gilx_sampler_stop(sampler);
        pthread_cond_destroy(&sampler->changed);
        pthread_mutex_destroy(&sampler->mutex);
        pthread_mutex_destroy(&sampler->sums);
    } else if (sampler->private_files) {
        gilx_forget_sampler_files(sampler); /* the child does not have them */
    } else {
        gilx_close_sampler_files(sampler);
    }
    gilx_memory_close(&sampler->given);
    free_parts(sampler);
}
