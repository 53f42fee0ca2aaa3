/* Runs the sampler against GILs that are only three words, for the thread sanitizer.
 *
 * The exit status is 0 if all sums are right. The shares are not judged, since the
 * sanitizer slows everything down.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sampler/sampler.h"
#include "../sampler/linux_threads.h"
#include "../sampler/sleep_watch.h"
#include "../sampler/layouts.h"
#include "../platform/clock.h"
#include "../platform/random.h"
#include "fake_stack.h"

enum {
    THREADS = 3,
    ROUNDS = 8,
    FIRST_VERSION = 11,
    LAST_VERSION = 15,
    ROUNDS_WITH_STACKS = LAST_VERSION + 1 - FIRST_VERSION,
};

/* The GIL's words, as CPython has them, and a lock that makes them behave as a GIL's do.
 */
typedef struct {
    struct {
        unsigned long interval;
        _Atomic uintptr_t holder;
        _Atomic int locked;
        _Atomic unsigned long switches;
    } words;
    pthread_mutex_t lock;
    atomic_bool stop;
} fake_gil;

_Static_assert(sizeof(((fake_gil *)0)->words) == sizeof(gilx_gil_struct),
               "they are as there");

/* A thread state has its words at some places that the stack does not use. */
enum { TID = 400, ID = 408, WAITS = 416 };

typedef struct {
    fake_stack stack;
    fake_gil *gil;
    _Atomic unsigned long tid;
    _Atomic int64_t begun_ns;   /* the hold that goes on, or the last one, */
    _Atomic int64_t longest_ns; /* and the longest one that has ended */
} fake_thread;

static void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr, "sampler_driver: not so: %s\n", what);
        exit(1);
    }
}

static gilx_gil_words words_of(const fake_gil *gil) {
    return (gilx_gil_words){.interval = &gil->words.interval,
                            .locked = &gil->words.locked,
                            .holder = &gil->words.holder,
                            .switches = &gil->words.switches};
}

static void take(fake_gil *gil, const fake_stack *stack) {
    const uintptr_t state = (uintptr_t)stack->state;
    atomic_store_explicit(&gil->words.locked, 1, memory_order_relaxed);
    if (atomic_load_explicit(&gil->words.holder, memory_order_relaxed) != state) {
        atomic_store_explicit(&gil->words.holder, state, memory_order_relaxed);
        atomic_fetch_add_explicit(&gil->words.switches, 1, memory_order_relaxed);
    }
}

static void release(fake_gil *gil) {
    atomic_store_explicit(&gil->words.locked, 0, memory_order_relaxed);
}

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

static gilx_memory *opened(gilx_memory *memory) {
    expect(gilx_memory_open(memory, NULL), "memory can be read");
    return memory;
}

/* Nothing is at these addresses, or not at the end of eight bytes from them on. */
static const uintptr_t BAD[] = {
    0,
    8,
    4095,
    UINTPTR_MAX - 7,
    UINTPTR_MAX / 2 - 7,
    UINTPTR_MAX / 2 - 3,
    (uintptr_t)1 << 63,
    0x7ffffffff000,
    0x7fffffffeffc,
    0x800000000000,
    0x100000000000000,
};
enum { BAD_ONES = sizeof(BAD) / sizeof(BAD[0]) };

/* Differs from page to page, and from byte to byte. */
static unsigned char known[GILX_MOST_COPIED + 1];
static unsigned char copy[GILX_MOST_COPIED + 1];

static gilx_range part(size_t start, size_t size) {
    return (gilx_range){.from = (uintptr_t)&known[start], .size = size};
}

/* Copy to a place that is not aligned. Returns how many bytes are right there, which are
 * as many as are said to have arrived; no more than `most` were touched. */
static size_t copied(gilx_memory *memory, const gilx_range *ranges, int count,
                     size_t most) {
    static const unsigned char UNTOUCHED = 0xee;
    memset(copy, UNTOUCHED, sizeof(copy));
    const size_t arrived = gilx_memory_copy(memory, ranges, count, copy + 1);
    size_t right = 0;
    for (int i = 0; i < count && right < arrived; ++i) {
        size_t size = ranges[i].size;
        size = size < arrived - right ? size : arrived - right;
        expect(size == 0 ||
                   memcmp(&copy[1 + right], (const void *)ranges[i].from, size) == 0,
               "what arrives is what is there");
        right += size;
    }
    expect(right == arrived, "no more arrives than there is");
    for (size_t i = most; i < GILX_MOST_COPIED; ++i) {
        expect(copy[1 + i] == UNTOUCHED, "nothing is written beyond it");
    }
    return arrived;
}

static void ranges_are_copied_in_order(gilx_memory *memory) {
    const gilx_range mixed[] = {
        part(5000, 300), part(4000, 200),
        part(5000, 300), part(4095, 2), /* in two pages */
        part(0, 9000),   part(7, 1),
    };
    expect(copied(memory, mixed, 6, 9803) == 9803, "all arrive");
    const gilx_range sizes[] = {part(1, 0),       part(1, 8), {0, 0},
                                {UINTPTR_MAX, 0}, part(9, 8), {8, 0}};
    expect(copied(memory, sizes, 6, 16) == 16, "no bytes are read without a look");
    expect(copied(memory, sizes, 1, 0) == 0, "nor are they any");
    expect(copied(memory, sizes, 0, 0) == 0, "nothing is no bytes");
}

static void ranges_are_limited(gilx_memory *memory) {
    gilx_range ranges[GILX_MOST_RANGES + 1];
    for (int i = 0; i <= GILX_MOST_RANGES; ++i) {
        ranges[i] = part((size_t)(i * 37), GILX_MOST_COPIED / GILX_MOST_RANGES);
    }
    expect(copied(memory, ranges, GILX_MOST_RANGES, GILX_MOST_COPIED) == GILX_MOST_COPIED,
           "so many can be copied");
    ranges[GILX_MOST_RANGES].size = 0;
    expect(copied(memory, ranges, GILX_MOST_RANGES + 1, 0) == 0, "but not one more");
    const gilx_range whole[] = {part(1, GILX_MOST_COPIED), part(0, 1)};
    expect(copied(memory, whole, 1, GILX_MOST_COPIED) == GILX_MOST_COPIED,
           "one may be as long as all");
    expect(copied(memory, whole, 2, 0) == 0, "but no byte more can be copied");
    const gilx_range huge[] = {part(0, 8), part(0, SIZE_MAX - 7), {0, 8}, part(0, 8)};
    expect(copied(memory, huge, 2, 0) == 0, "sizes are not added up beyond all bounds");
    const gilx_range late[] = {
        part(0, 8), {UINTPTR_MAX - 99, 8}, part(0, GILX_MOST_COPIED - 16), part(0, 1)};
    expect(copied(memory, late, 4, 0) == 0, "those after a bad one count");
}

/* Copying stops at a range that can't be read, and the next call is none the worse. */
static void bad_ranges_end_the_copy(gilx_memory *memory) {
    for (int i = 0; i < BAD_ONES; ++i) {
        for (int good = 0; good <= 3; ++good) {
            gilx_range ranges[5];
            for (int j = 0; j < 5; ++j) {
                ranges[j] = part((size_t)(j * 3000), 3000);
            }
            ranges[good] = (gilx_range){.from = BAD[i], .size = 8};
            const size_t before = 3000 * (size_t)good;
            expect(copied(memory, ranges, 5, before + 8) == before,
                   "all before a bad one arrive");
            ranges[good] = part(1, 3000);
            expect(copied(memory, ranges, 5, 15000) == 15000, "all arrive after that");
        }
    }
}

/* Of a range whose end can't be read, any part may arrive. */
static void pages_may_be_missing(gilx_memory *memory) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages =
        mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(pages != MAP_FAILED && munmap(pages + 2 * page, page) == 0,
           "pages can be had and given back");
    memset(pages, 'x', 2 * page);
    for (size_t before = 0; before <= 5000; before += 1000) {
        const gilx_range ranges[] = {
            part(0, before),
            {(uintptr_t)pages + page - 100, 200},
            {(uintptr_t)pages + 2 * page - 100, 200},
            part(0, 100),
        };
        const size_t least = before + 200;
        /* A read may fail as a whole, which leaves the room for it touched. */
        const size_t arrived = copied(memory, ranges, 4, least + 200);
        expect(arrived >= least && arrived <= least + 100, "all before the end arrives");
        expect(copied(memory, ranges, 2, least) == least, "a page's end can be crossed");
    }
    munmap(pages, 2 * page);
}

enum { STEPS = 100 };

static void *count_up(void *argument) {
    _Atomic unsigned char *counter = argument;
    for (unsigned char i = 1; i <= STEPS; ++i) {
        gilx_sleep_ns(10 * 1000);
        atomic_store(counter, i);
    }
    return NULL;
}

/* The same range, named twice, is read a second time after all that is named between. */
static void order_is_that_of_time(gilx_memory *memory) {
    _Atomic unsigned char counter = 0;
    const gilx_range again = {(uintptr_t)&counter, 1};
    const gilx_range ranges[] = {again, part(0, 5000), again, part(0, 300), again};
    pthread_t thread;
    expect(pthread_create(&thread, NULL, count_up, &counter) == 0, "threads can be made");
    const unsigned char *const at = copy;
    do {
        expect(gilx_memory_copy(memory, ranges, 5, copy) == 5303, "all arrive");
        expect(at[0] <= at[5001] && at[5001] <= at[5302], "it never counts backwards");
        gilx_sleep_ns(1000); /* or valgrind lets no other thread run */
    } while (at[0] < STEPS);
    pthread_join(thread, NULL);
}

/* Each way reads what is there, fails where nothing is, and goes on after that. */
static void memory_is_read_safely(void) {
    for (size_t i = 0; i < sizeof(known); ++i) {
        known[i] = (unsigned char)(i * 37 + i / 256);
    }
    for (int way = 0; way < GILX_MEMORY_WAYS; ++way) {
        gilx_memory memory;
        if (!gilx_memory_open(&memory, gilx_memory_names[way])) {
            (void)printf("not here: %s\n", gilx_memory_names[way]);
            continue;
        }
        expect((int)memory.way == way, "it is the way that was named");
        for (int round = 0; round < 100; ++round) {
            memset(copy, 0, sizeof(copy));
            expect(gilx_memory_read(&memory, known, copy, GILX_MOST_READ), "it is read");
            expect(memcmp(known, copy, GILX_MOST_READ) == 0, "as it is");
            for (int i = 0; i < BAD_ONES; ++i) {
                errno = 0;
                expect(!gilx_memory_read(&memory, (const void *)BAD[i], copy, 8) &&
                           errno != 0,
                       "nothing is there");
            }
            expect(!gilx_memory_read(&memory, known, copy, GILX_MOST_READ + 1),
                   "no more than there is room for");
        }
        for (int round = 0; round < 2; ++round) {
            ranges_are_copied_in_order(&memory);
            ranges_are_limited(&memory);
            bad_ranges_end_the_copy(&memory);
            pages_may_be_missing(&memory);
            order_is_that_of_time(&memory);
            /* Once more with a pipe that has room for less, as Linux may make it. */
            if (way != GILX_PIPE || fcntl(memory.other, F_SETPIPE_SZ, 1) < 0) {
                break;
            }
        }
        gilx_memory_close(&memory);
        expect(!gilx_memory_read(&memory, known, copy, 8), "it is closed");
        const gilx_range range = part(0, 8);
        expect(copied(&memory, &range, 1, 0) == 0, "for ranges, too");
        gilx_memory_close(&memory);
    }
    gilx_memory memory;
    expect(!gilx_memory_open(&memory, "no such way"), "there is no such way");
}

static fake_thread *thread_of(fake_thread *threads, int64_t tid) {
    for (int i = 0; i < THREADS; ++i) {
        if ((int64_t)atomic_load(&threads[i].tid) == tid) {
            return &threads[i];
        }
    }
    return NULL;
}

/* Looks have the sites that were counted, if stacks are read and all looks are kept. */
static void looks_have_sites(const gilx_sampler *sampler, int threads, int64_t room) {
    const gilx_sites *sites = gilx_sampler_sites(sampler);
    const int number = sites == NULL ? 0 : gilx_sites_number(sites);
    int64_t held = 0, samples = 0;
    for (int64_t i = 0; i < gilx_sampler_looks(sampler); ++i) {
        const gilx_look *look = gilx_sampler_look(sampler, i);
        expect(look->site >= -1 && look->site < number, "a look has a site that exists");
        expect(look->site < 0 || look->site_place == GILX_UNKNOWN_THREAD ||
                   look->site_place < threads,
               "the thread that held it there is known");
        held += look->site >= 0;
    }
    for (int i = 0; i < number; ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        samples += gilx_sites_site(sites, i, &kind, &spot, &function)->samples;
    }
    expect(gilx_sampler_totals(sampler)->wakes > room || held == samples,
           "each sample of a site is a look's");
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
                  int64_t room, const gilx_stack_layout *stacks) {
    const gilx_sampler_options options = {
        .watched = gilx_own_tid(),
        .cost = 0.2,
        .reference = reference,
        .seed = 1,
        .room = room,
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
    expect(gilx_sampler_looks(sampler) == (totals->wakes < room ? totals->wakes : room),
           "the looks are kept");
    for (int64_t i = 1; i < gilx_sampler_looks(sampler); ++i) {
        expect(gilx_sampler_look(sampler, i - 1)->at_ns <
                   gilx_sampler_look(sampler, i)->at_ns,
               "the looks are in order");
    }
    expect((gilx_sampler_sites(sampler) != NULL) == (stacks != NULL),
           "stacks are read if they are asked for");
    if (stacks != NULL) {
        sites_are_right(sampler, threads);
    }
    looks_have_sites(sampler, count, room);
    gilx_sampler_free(sampler);
}

/* The child has no such thread, and must get through all the same. */
static void fork_while_watched(const gilx_gil_words *words,
                               const gilx_stack_layout *stacks) {
    const gilx_sampler_options options = {.watched = gilx_own_tid(),
                                          .cost = 0.2,
                                          .room = 16,
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
    expect(!gilx_sampler_forked(sampler), "the parent is no child");
    gilx_sampler_free(sampler);
}

static void tables_hold_what_they_say(void) {
    gilx_thread_table *table = calloc(1, sizeof(*table));
    expect(table != NULL, "there is memory for a table");
    for (int64_t tid = 1; tid <= GILX_THREADS_LISTED; ++tid) {
        expect(gilx_thread_add(table, 7 * tid, false) == tid - 1, "threads are added");
    }
    expect(gilx_thread_add(table, 1, false) == GILX_UNKNOWN_THREAD,
           "so many did not hold");
    for (int64_t tid = GILX_THREADS_LISTED + 1; tid <= GILX_THREADS; ++tid) {
        expect(gilx_thread_add(table, 7 * tid, true) == tid - 1, "holders are added");
    }
    expect(gilx_thread_add(table, 1, true) == GILX_UNKNOWN_THREAD, "it is full");
    for (int64_t tid = 1; tid <= GILX_THREADS; ++tid) {
        expect(gilx_thread_place(table, 7 * tid) == tid - 1, "each has its place");
        expect(gilx_thread_add(table, 7 * tid, true) == tid - 1, "and keeps it");
    }
    expect(gilx_thread_place(table, 1) == GILX_UNKNOWN_THREAD, "others have none");
    table->count = 2;
    gilx_thread_forget(table, 7);
    expect(gilx_thread_place(table, 7) == GILX_UNKNOWN_THREAD, "it is forgotten");
    expect(gilx_thread_add(table, 7, true) == 2, "another one with its id is new");
    expect(gilx_thread_place(table, 7) == 2, "and has the new place");
    expect(gilx_thread_place(table, 14) == 1, "others keep theirs");
    free(table);
}

/* Expect a call of a tree. */
static void expect_call(const gilx_call_tree *tree, int number, int parent, int label,
                        double held, double cut) {
    const gilx_call *call = gilx_call_tree_at(tree, number);
    expect(call->parent == parent && call->label == label && call->held == held &&
               call->cut == cut,
           "a call is as it was added");
}

static void calls_are_kept_as_a_tree(void) {
    gilx_call_tree *tree = gilx_call_tree_new();
    expect(tree != NULL, "there is memory for a tree");
    enum { UNKNOWN = 0, THREAD = 1, OUTER = 2, INNER = 3, OTHER_THREAD = 4 };
    const int labels[] = {70, 80, 70, GILX_CALL_BELOW};
    gilx_call_tree_add(tree, 0, labels, 2, 5);
    gilx_call_tree_add(tree, 3, labels, 1, 7);
    gilx_call_tree_add(tree, 0, labels, 1, 11);
    gilx_call_tree_add(tree, 0, labels, 4, 13);
    gilx_call_tree_add(tree, GILX_UNKNOWN_THREAD, labels + 1, 1, 17);
    gilx_call_tree_add(tree, 0, labels, 2, 19);
    gilx_call_tree_add(tree, 3, NULL, 0, 23);
    expect(gilx_call_tree_size(tree) == 9, "equal calls are one");
    expect_call(tree, UNKNOWN, GILX_NO_CALL, GILX_UNKNOWN_THREAD, 0, 0);
    expect_call(tree, THREAD, GILX_NO_CALL, 0, 0, 0);
    expect_call(tree, OUTER, THREAD, 70, 11, 0);
    expect_call(tree, INNER, OUTER, 80, 24, 0);
    expect_call(tree, OTHER_THREAD, GILX_NO_CALL, 3, 23, 0);
    expect_call(tree, 5, OTHER_THREAD, 70, 7, 0);
    expect_call(tree, 6, INNER, 70, 0, 0);
    expect_call(tree, 7, 6, GILX_CALL_BELOW, 13, 0);
    expect_call(tree, 8, UNKNOWN, 80, 17, 0);

    /* What there is no capacity for counts for the innermost call that is there. */
    for (int label = 100; label < 100 + GILX_CALLS; ++label) {
        const int outer[] = {70, label};
        gilx_call_tree_add(tree, 0, outer, 2, 1);
    }
    const int there = 100 + GILX_CALLS - 9;
    expect(gilx_call_tree_size(tree) == GILX_CALLS, "it is full");
    expect_call(tree, OUTER, THREAD, 70, 11 + 9, 9);
    expect_call(tree, GILX_CALLS - 1, OUTER, there - 1, 1, 0);
    const int new[] = {70, 80, 90, 70};
    gilx_call_tree_add(tree, 0, new, 4, 29);
    expect_call(tree, INNER, OUTER, 80, 24 + 29, 29);
    gilx_call_tree_add(tree, 5, new, 4, 31); /* not even its thread is there */
    expect_call(tree, UNKNOWN, GILX_NO_CALL, GILX_UNKNOWN_THREAD, 31, 31);
    gilx_call_tree_add(tree, 0, labels, 4, 37); /* others still are */
    expect_call(tree, 7, 6, GILX_CALL_BELOW, 13 + 37, 0);
    expect(gilx_call_tree_size(tree) == GILX_CALLS, "it stays as large");
    gilx_call_tree_free(tree);
    gilx_call_tree_free(NULL);
}

static void places_agree_between_final_releases_only(void) {
    expect(gilx_same_places(0x030e07f0, 0x030e0af0), "3.14.7 and 3.14.10 agree");
    expect(!gilx_same_places(0x030e07f0, 0x030f00f0), "3.14 and 3.15 do not");
    expect(gilx_same_places(0x030f00b2, 0x030f00b2), "a beta agrees with itself");
    expect(!gilx_same_places(0x030f00b2, 0x030f00b3), "but not with the next one");
    expect(!gilx_same_places(0x030f00c1, 0x030f00f0), "nor a candidate with a release");
    expect(!gilx_same_places(0x030f00f0, 0x030f01a0), "nor a release with a later alpha");
}

static void stacks_have_places_in_builds_with_a_gil_only(void) {
    for (uint64_t minor = 11; minor <= 15; ++minor) {
        const gilx_layout *layout = gilx_layout_of(0x030000f0 | minor << 16);
        expect(layout != NULL, "the version is known");
        const gilx_stack_layout *stack = gilx_stack_layout_of(layout, false);
        expect(stack == &layout->stack && stack->instructions > 0, "its stacks are");
        expect((stack->version < 0) == (minor == 11), "code is numbered since 3.12");
        expect((stack->cframe_frame < 0) == (minor >= 13), "3.13 needs no cframe");
        expect(gilx_stack_layout_of(layout, true) == NULL, "other builds are unknown");
    }
    expect(gilx_stack_layout_of(gilx_layout_of(0x030a00f0), false) == NULL,
           "3.10 is unknown");
}

static const gilx_stack_layout *layout_of(int version) {
    return gilx_stack_layout_of(
        gilx_layout_of(0x03000000U | (uint64_t)version << 16 | 0xf0), false);
}

/* Sums of one site, as they are to be. */
typedef struct {
    double held, squares, steps, below;
    double waited, waited_squares, waited_steps;
    int64_t samples;
} sums;

/* Return for how long the GIL was held in calls of thread 1 that have a label, which were
 * made by function 0 if there is one. */
static double held_in_calls(const gilx_sites *sites, int label) {
    const gilx_call_tree *calls = gilx_sites_calls(sites);
    double held = 0;
    for (int i = 0; i < gilx_call_tree_size(calls); ++i) {
        const gilx_call *call = gilx_call_tree_at(calls, i);
        if (call->label != label || call->held == 0) {
            continue;
        }
        expect(call->cut == 0 && call->parent >= 0, "there is capacity for all calls");
        const gilx_call *parent = gilx_call_tree_at(calls, call->parent);
        if (label != GILX_CALL_EMPTY) {
            const gilx_function *function;
            expect(gilx_sites_spot(sites, parent->label, &function)->line == 1 &&
                       strcmp(function->name, "thread0.function0") == 0,
                   "it was called where function 0 is");
            parent = gilx_call_tree_at(calls, parent->parent);
        }
        expect(parent->parent == GILX_NO_CALL && parent->label == 1, "by thread 1");
        held += call->held;
    }
    return held;
}

/* Samples of a stack that stands still between them add up exactly, and the bounds of its
 * stretches hold. */
static void sites_add_up(int version) {
    enum { SAMPLES = 3000, FREE = -1, EMPTY = -2, KINDS = 2, SUMS = FAKE_FUNCTIONS * 2 };
    static fake_stack stack;
    const gilx_stack_layout *layout = layout_of(version);
    fake_stack_make(&stack, layout, 0);
    fake_gil gil = {.words = {.interval = 5000}};
    const gilx_gil_words words = words_of(&gil);
    gilx_memory memory;
    gilx_sites *sites =
        gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, true);
    expect(sites != NULL, "there is memory for sites");
    (void)opened(&memory);

    sums expected[SUMS + 1] = {0}; /* of two lines of each function, and without any */
    int64_t longest[SUMS + 1] = {0}, least[SUMS + 1] = {0};
    double counted = 0;
    uint64_t random = (uint64_t)version;
    const int64_t begin = gilx_now_ns();
    int64_t changed = begin, first = 0, last = 0; /* of what is going on */
    int now = FREE, before = FREE;
    double waited_before = 0;
    for (int i = 0; i < SAMPLES; ++i) {
        if (gilx_split_mix(&random) % 4 == 0) {
            /* Something else happens, or the same anew. */
            const int64_t leaves = gilx_now_ns();
            while (stack.depth > 0) {
                fake_return(&stack);
            }
            release(&gil);
            const int next = (int)(gilx_split_mix(&random) % (SUMS + KINDS)) - KINDS;
            if (next >= 0) {
                const int unit = next % 2 * (FAKE_UNITS / 2);
                fake_call(&stack, 0, 1, (uintptr_t)i);
                fake_call(&stack, next / 2, unit, (uintptr_t)i);
            }
            if (next != FREE) {
                take(&gil, &stack);
            }
            if (now >= 0 && first != 0) {
                const int64_t end = gilx_now_ns();
                longest[now] =
                    end - changed > longest[now] ? end - changed : longest[now];
                least[now] = last - first > least[now] ? last - first : least[now];
            }
            changed = leaves;
            first = last = 0;
            now = next;
        }
        gilx_site_sample sample;
        gilx_sites_sample(sites, &memory, &sample);
        sample.unbroken = true;
        if (first == 0) {
            first = gilx_now_ns();
        }
        last = gilx_now_ns();
        gilx_sites_check(sites, &memory, &sample);
        expect(sample.held == (now != FREE) && !sample.below, "the sample is right");
        expect(sample.intact == (now >= 0), "and nothing changed meanwhile");
        const double weight = (double)(gilx_split_mix(&random) % 1000 + 1);
        const uint32_t waiters = (uint32_t)(gilx_split_mix(&random) % 5);
        const double waited = (double)waiters, square = weight * weight;
        gilx_sites_count(sites, &memory, &sample, weight, waiters, 1, 0, begin, last);
        counted += weight;
        sums *sum = &expected[now == EMPTY ? SUMS : now < 0 ? 0 : now];
        if (now != FREE) {
            sum->held += weight;
            sum->squares += square;
            sum->waited += weight * waited;
            sum->waited_squares += square * waited * waited;
            ++sum->samples;
        }
        sums *sum_before = &expected[before == EMPTY ? SUMS : before < 0 ? 0 : before];
        if (i > 0 && now == before && now != FREE) {
            sum->waited_steps +=
                square * (waited - waited_before) * (waited - waited_before);
        } else if (i > 0) {
            sum->waited_steps += now == FREE ? 0 : square * waited * waited;
            sum_before->waited_steps +=
                before == FREE ? 0 : square * waited_before * waited_before;
        }
        waited_before = waited;
        if (i > 0 && now != before) {
            if (now != FREE) {
                sum->steps += weight * weight;
            }
            if (before != FREE) {
                expected[before == EMPTY ? SUMS : before].steps += weight * weight;
            }
        }
        before = now;
    }
    const int64_t end = gilx_now_ns();
    gilx_sites_finish(sites, end);
    gilx_sites_finish(sites, end + 1000000000); /* it has ended */
    if (now >= 0) {
        longest[now] = end - changed > longest[now] ? end - changed : longest[now];
        least[now] = last - first > least[now] ? last - first : least[now];
    }
    expect(gilx_sites_counted(sites) == counted, "all samples are counted");
    int lines = 0;
    for (int i = 0; i < gilx_sites_number(sites); ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        const gilx_site *site = gilx_sites_site(sites, i, &kind, &spot, &function);
        if (site->samples == 0) {
            continue;
        }
        int which = SUMS;
        if (kind == GILX_SITE_LINE) {
            which = spot->line / 100 * 2 + spot->line % 100 - 1;
            ++lines;
            expect(site->low <= longest[which], "no stretch was longer than it was");
            expect(site->low >= least[which], "nor much shorter,");
            expect(site->high >= site->low && site->high >= least[which],
                   "nor its bound");
        } else {
            expect(kind == GILX_SITE_EMPTY, "there are no other kinds");
            expect(site->high == 0, "stretches are those of Python code");
        }
        const sums *sum = &expected[which];
        expect(site->held == sum->held && site->squares == sum->squares &&
                   site->steps == sum->steps && site->samples == sum->samples &&
                   site->below == 0,
               "each site has its sums,");
        expect(site->waited == sum->waited &&
                   site->waited_squares == sum->waited_squares &&
                   site->waited_steps == sum->waited_steps,
               "also of the time for which others waited");
        const int label = kind == GILX_SITE_EMPTY ? GILX_CALL_EMPTY : i - GILX_SITE_KINDS;
        expect(held_in_calls(sites, label) == sum->held, "its calls have them as well");
    }
    expect(lines == SUMS, "all lines were found");
    const gilx_stretches *stretches = gilx_sites_stretches(sites, false);
    expect(stretches->count == GILX_STRETCHES, "the longest stretches are kept");
    int64_t most = 0;
    for (int i = 0; i < SUMS; ++i) {
        most = least[i] > most ? least[i] : most;
    }
    expect(stretches->longest[0].low >= most, "the longest one first");
    gilx_sites_free(sites);
    gilx_memory_close(&memory);
}

static void count_sample(gilx_sites *sites, gilx_memory *memory, int64_t begin,
                         bool unbroken) {
    gilx_site_sample sample;
    gilx_sites_sample(sites, memory, &sample);
    sample.unbroken = unbroken;
    const int64_t end = gilx_now_ns();
    gilx_sites_check(sites, memory, &sample);
    gilx_sites_count(sites, memory, &sample, 1, 0, 0, 0, begin, end);
}

/* Return the site of a function, NULL if it has none. */
static const gilx_site *site_of(const gilx_sites *sites, int wanted) {
    for (int i = 0; i < gilx_sites_number(sites); ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        const gilx_site *site = gilx_sites_site(sites, i, &kind, &spot, &function);
        if (function != NULL && function->first_line == 100 * wanted) {
            return site;
        }
    }
    return NULL;
}

/* Calls that are not known are marked as such. */
static void unknown_calls_are_marked(int version) {
    enum { NOWHERE = 5 * FAKE_UNITS, OWNED_BY_GENERATOR = 1, OUTER_SPOT = 0, CASES = 4 };
    static const struct {
        int outer, inner; /* units */
        bool complete;
        int labels[3], count;
    } cases[CASES] = {
        {1, NOWHERE, true, {OUTER_SPOT, GILX_CALL_BELOW}, 2},
        {NOWHERE, NOWHERE, true, {GILX_SPOT_UNKNOWN}, 1},
        {1, NOWHERE, false, {GILX_CALL_TRUNCATED, OUTER_SPOT, GILX_CALL_BELOW}, 3},
        {NOWHERE, 0, true, {GILX_SPOT_UNKNOWN, 0}, 2},
    };
    static fake_stack stack;
    const gilx_stack_layout *layout = layout_of(version);
    for (int i = 0; i < CASES; ++i) {
        fake_stack_make(&stack, layout, 0);
        fake_gil gil = {.words = {.interval = 5000}};
        const gilx_gil_words words = words_of(&gil);
        gilx_memory memory;
        gilx_sites *sites =
            gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, true);
        expect(sites != NULL, "there is memory for sites");
        fake_call(&stack, 0, cases[i].outer, 0);
        fake_call(&stack, 1, cases[i].inner, 0);
        if (!cases[i].complete) { /* a generator is just being entered or left */
            stack.frames[0][layout->owner] = OWNED_BY_GENERATOR;
        }
        take(&gil, &stack);
        count_sample(sites, opened(&memory), gilx_now_ns(), true);
        const gilx_call_tree *calls = gilx_sites_calls(sites);
        const int first = 2; /* after two threads */
        expect(gilx_call_tree_size(calls) == first + cases[i].count, "all are kept");
        for (int call = 0; call < cases[i].count; ++call) {
            expect_call(calls, first + call, first + call - 1, cases[i].labels[call],
                        call + 1 == cases[i].count, 0);
        }
        gilx_sites_free(sites);
        gilx_memory_close(&memory);
    }
}

/* Two stretches, one after another, have their bounds, also if the stack can't be read
 * for a while. */
static void stretches_have_bounds(int version) {
    enum { PARTS = 4, ALL = 1 << PARTS }; /* the first three are those of one stretch */
    static fake_stack stack;
    const gilx_stack_layout *layout = layout_of(version);
    for (int unread = 0; unread < ALL; ++unread) {
        fake_stack_make(&stack, layout, 0);
        fake_gil gil = {.words = {.interval = 5000}};
        const gilx_gil_words words = words_of(&gil);
        gilx_memory memory, closed = {.way = GILX_MEMORY_WAYS, .file = -1, .other = -1};
        gilx_sites *sites =
            gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, false);
        expect(sites != NULL, "there is memory for sites");
        const int64_t begin = gilx_now_ns();
        count_sample(sites, opened(&memory), begin, true);

        const int64_t before = gilx_now_ns();
        int64_t first_left = 0, second_left = 0, second_called = 0;
        fake_call(&stack, 1, 0, 0);
        take(&gil, &stack);
        const int64_t first_called = gilx_now_ns();
        for (int part = 0; part < PARTS; ++part) {
            if (part == PARTS - 1) {
                first_left = gilx_now_ns();
                fake_return(&stack);
                fake_call(&stack, 2, 0, 0);
                second_called = gilx_now_ns();
            }
            for (int i = 0; i < 3; ++i) {
                count_sample(sites, unread >> part & 1 ? &closed : &memory, begin, true);
            }
        }
        second_left = gilx_now_ns();
        if (unread % 2 == 0) {
            gilx_sites_finish(sites, gilx_now_ns());
        }
        release(&gil);
        const int64_t after = gilx_now_ns();
        count_sample(sites, &memory, begin, true);
        gilx_sites_finish(sites, gilx_now_ns());

        const int unread_parts = unread % (ALL / 2);
        const gilx_site *first = site_of(sites, 1), *second = site_of(sites, 2);
        expect((first == NULL) == (unread_parts == ALL / 2 - 1) &&
                   (second == NULL) == (unread >= ALL / 2),
               "a stretch is known if it was ever read");
        expect(gilx_sites_stretches(sites, true)->count ==
                   (first != NULL) + (second != NULL),
               "it is one stretch");
        if (first != NULL) {
            expect(first->low > 0 && first->low <= second_called - before &&
                       first->high >= first_left - first_called,
                   "the first one was that long");
        }
        if (second != NULL) {
            expect(second->low > 0 && second->low <= after - first_left &&
                       second->high >= second_left - second_called,
                   "the second one was that long");
        }
        gilx_sites_free(sites);
        gilx_memory_close(&memory);
    }
}

/* The same call from another place, or with other variables of a caller, is another
 * stretch. */
static void calls_have_callers(int version) {
    enum { CALLER = 1, CALLED = 2, SAMPLES = 3, ROUNDS = 4 };
    static fake_stack stack;
    const gilx_stack_layout *layout = layout_of(version);
    fake_stack_make(&stack, layout, 0);
    fake_gil gil = {.words = {.interval = 5000}};
    const gilx_gil_words words = words_of(&gil);
    gilx_memory memory;
    gilx_sites *sites =
        gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, false);
    expect(sites != NULL, "there is memory for sites");
    const int64_t begin = gilx_now_ns();
    (void)opened(&memory);
    fake_call(&stack, CALLER, 0, 0);
    fake_call(&stack, CALLED, 0, 0);
    take(&gil, &stack);
    count_sample(sites, &memory, begin, true); /* finds where the frames are */
    for (int round = 0; round < ROUNDS; ++round) {
        fake_return(&stack);
        fake_advance(&stack, CALLER, round / 2, (uintptr_t)round);
        fake_call(&stack, CALLED, 0, 0);
        for (int i = 0; i < SAMPLES; ++i) {
            count_sample(sites, &memory, begin, true);
        }
    }
    gilx_sites_finish(sites, gilx_now_ns());
    const gilx_stretches *stretches = gilx_sites_stretches(sites, true);
    int long_ones = 0;
    for (int i = 0; i < stretches->count; ++i) {
        long_ones += stretches->longest[i].run == SAMPLES;
        expect(stretches->longest[i].run <= SAMPLES + 1, "no two are taken for one");
    }
    expect(long_ones >= ROUNDS - 1, "each call is a stretch");
    gilx_sites_free(sites);
    gilx_memory_close(&memory);
}

/* A stretch ends if the GIL was found free between two samples of the same stack. */
static void released_between(int version) {
    enum { SAMPLES = 6, BROKEN = 3 };
    static fake_stack stack;
    const gilx_stack_layout *layout = layout_of(version);
    fake_stack_make(&stack, layout, 0);
    fake_gil gil = {.words = {.interval = 5000}};
    const gilx_gil_words words = words_of(&gil);
    gilx_memory memory;
    gilx_sites *sites =
        gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, false);
    expect(sites != NULL, "there is memory for sites");
    const int64_t begin = gilx_now_ns();
    (void)opened(&memory);
    fake_call(&stack, 1, 0, 0);
    take(&gil, &stack);
    for (int i = 0; i < SAMPLES; ++i) {
        count_sample(sites, &memory, begin, i != BROKEN);
    }
    gilx_sites_finish(sites, gilx_now_ns());
    expect(gilx_sites_stretches(sites, true)->count == 2, "it is two stretches");
    gilx_sites_free(sites);
    gilx_memory_close(&memory);
}

static const gilx_site *collector_of(const gilx_sites *sites) {
    gilx_site_kind kind;
    const gilx_spot *spot;
    const gilx_function *function;
    return gilx_sites_site(sites, GILX_SITE_COLLECTOR, &kind, &spot, &function);
}

/* The garbage collector is a site, but not a finalizer that it calls, nor another thread
 * that runs meanwhile. A call that collects garbage is one stretch. */
static void collections_are_a_site(int version) {
    enum { OUTER = 1, INNER = 2, SAMPLES = 3, FROM_PYTHON = 2 };
    static fake_stack stack, other;
    const gilx_stack_layout *layout = layout_of(version);
    fake_stack_make(&stack, layout, 0);
    fake_stack_make(&other, layout, 1);
    fake_gil gil = {.words = {.interval = 5000}};
    const gilx_gil_words words = words_of(&gil);
    gilx_memory memory;
    int collecting = 0;
    gilx_sites *sites =
        gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, &collecting, true);
    expect(sites != NULL, "there is memory for sites");
    (void)opened(&memory);
    const int64_t begin = gilx_now_ns();
    const struct {
        int collecting, finalizer, other, released; /* whether it is so */
        int64_t collector, outer, inner;            /* samples expected by then */
    } steps[] = {
        {0, 0, 0, 0, 0, 1, 0},
        {1, 0, 0, 0, 1, 1, 0},
        {1, 1, 0, 0, 1, 1, 1},
        {1, 1, 0, 1, 1, 1, 1},
        {1, 0, 1, 0, 1, 2, 1},
        {1, 0, 0, 0, 2, 2, 1},
        {0, 0, 0, 0, 2, 3, 1},
        /* The first sample of a collection is in a finalizer. */
        {1, 1, 0, 0, 2, 3, 2},
        {1, 0, 0, 0, 3, 3, 2},
        {1, 1, 0, 0, 3, 3, 3},
        {0, 0, 0, 0, 3, 4, 3},
        /* Another thread runs before anything is known of a collection. */
        {1, 1, 0, 1, 3, 4, 3},
        {1, 1, 1, 0, 3, 5, 3},
        {1, 0, 0, 0, 3, 6, 3},
        {0, 0, 0, 0, 3, 7, 3},
        /* A collection begins in a function that Python code has just called. */
        {1, FROM_PYTHON, 0, 0, 4, 7, 3},
        {0, 0, 0, 0, 4, 8, 3},
        /* C code calls a function, also while no garbage is collected. */
        {0, 1, 0, 0, 4, 8, 4},
        {0, 0, 0, 0, 4, 9, 4},
        {1, 1, 0, 0, 5, 9, 4},
    };
    fake_call(&stack, OUTER, 0, 0);
    fake_call(&other, OUTER, 0, 0);
    int finalizer = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); ++i) {
        collecting = steps[i].collecting;
        if (steps[i].finalizer != finalizer) {
            finalizer = steps[i].finalizer;
            if (finalizer == FROM_PYTHON) {
                fake_call(&stack, INNER, 0, 0);
            } else if (finalizer) {
                fake_call_from_c(&stack, INNER, 0, 0);
            } else {
                fake_return(&stack);
            }
        }
        if (!steps[i].released) {
            take(&gil, steps[i].other ? &other : &stack);
        }
        count_sample(sites, &memory, begin, true);
        release(&gil);
        const gilx_site *inner = site_of(sites, INNER);
        expect(collector_of(sites)->samples == steps[i].collector &&
                   (inner == NULL ? 0 : inner->samples) == steps[i].inner,
               "what is the collector's is so");
        int64_t outer = 0; /* both threads have a function with that first line */
        for (int site = 0; site < gilx_sites_number(sites); ++site) {
            gilx_site_kind kind;
            const gilx_spot *spot;
            const gilx_function *function;
            const gilx_site *one = gilx_sites_site(sites, site, &kind, &spot, &function);
            outer += function != NULL && function->first_line == 100 * OUTER
                         ? one->samples
                         : 0;
        }
        expect(outer == steps[i].outer, "and so is what is not");
    }
    gilx_sites_free(sites);

    sites = gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, &collecting, false);
    expect(sites != NULL, "there is memory for sites");
    take(&gil, &stack);
    for (int i = 0; i < SAMPLES; ++i) {
        collecting = i % 2 == 0;
        count_sample(sites, &memory, begin, true);
    }
    gilx_sites_finish(sites, gilx_now_ns());
    const gilx_stretches *stretches = gilx_sites_stretches(sites, true);
    expect(stretches->count == 1, "it is one stretch");
    expect(collector_of(sites)->low == 0 && site_of(sites, INNER)->low > 0,
           "of the call");
    gilx_sites_free(sites);
    gilx_memory_close(&memory);
}

static void spin_for(int64_t length) {
    const int64_t start = gilx_own_cpu_ns();
    while (gilx_own_cpu_ns() - start < length) {
    }
}

/* A thread that ran and slept is found to have slept; one that only slept is not. It is
 * this one, so that it is on a CPU whenever its clocks are read. */
static void sleeps_are_found(void) {
    enum { LENGTH_NS = 2 * 1000 * 1000 };
    gilx_sleep_watch watch = GILX_NO_SLEEP_WATCH;
    expect(!gilx_slept(&watch), "no thread is watched");
    gilx_sleep_watch_begin(&watch, 0, gilx_own_tid());
    if (watch.schedstat >= 0 && watch.wait_ns >= 0) {
        bool slept = true;
        for (int i = 0; i < 10 && slept; ++i) { /* valgrind takes its time at first */
            gilx_sleep_ns(LENGTH_NS);
            slept = gilx_slept(&watch);
        }
        expect(!slept, "it did nothing but sleep");
        spin_for(LENGTH_NS);
        gilx_sleep_ns(LENGTH_NS);
        expect(gilx_slept(&watch), "it ran and slept");
        gilx_sleep_ns(LENGTH_NS);
        const bool found = gilx_slept(&watch); /* valgrind takes its time here, too */
        spin_for(LENGTH_NS);
        expect(found || gilx_slept(&watch), "it slept and ran");
    } else {
        puts("not here: schedstat");
    }
    gilx_sleep_watch_end(&watch);
}

int main(void) {
    tables_hold_what_they_say();
    calls_are_kept_as_a_tree();
    places_agree_between_final_releases_only();
    stacks_have_places_in_builds_with_a_gil_only();
    memory_is_read_safely();
    sleeps_are_found();
    for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
        sites_add_up(version);
        stretches_have_bounds(version);
        released_between(version);
        unknown_calls_are_marked(version);
        collections_are_a_site(version);
        calls_have_callers(version);
    }
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
    puts("sampler_driver: fine");
    return 0;
}
