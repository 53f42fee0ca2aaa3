/* Tests sites: sums, stretches, callers and collections of made-up stacks, and sleeps. */
#define _GNU_SOURCE
#define DRIVER "sites_driver"

#include <string.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../sampler/linux_threads.h"
#include "../sampler/sites.h"
#include "../sampler/sleep_watch.h"
#include "../sampler/thread_table.h"
#include "fake_gil.h"

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

    /* Samples beyond the capacity count for the innermost call that the tree has. */
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
static void collections_are_a_site(int version, fake_stack *stack) {
    enum { OUTER = 1, INNER = 2, SAMPLES = 3, FROM_PYTHON = 2 };
    static fake_stack other;
    const gilx_stack_layout *layout = layout_of(version);
    fake_stack_make(stack, layout, 0);
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
    fake_call(stack, OUTER, 0, 0);
    fake_call(&other, OUTER, 0, 0);
    int finalizer = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); ++i) {
        collecting = steps[i].collecting;
        if (steps[i].finalizer != finalizer) {
            finalizer = steps[i].finalizer;
            if (finalizer == FROM_PYTHON) {
                fake_call(stack, INNER, 0, 0);
            } else if (finalizer) {
                fake_call_from_c(stack, INNER, 0, 0);
            } else {
                fake_return(stack);
            }
        }
        if (!steps[i].released) {
            take(&gil, steps[i].other ? &other : stack);
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
    take(&gil, stack);
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

/* Calls from C code are remembered by a hash of addresses: none may displace another. */
static void collections_are_a_site_anywhere(int version) {
    enum { PLACES = 100, STEP = alignof(fake_stack) };
    alignas(fake_stack) static unsigned char memory[PLACES * STEP + sizeof(fake_stack)];
    for (size_t i = 0; i < PLACES; ++i) {
        collections_are_a_site(version, (fake_stack *)(void *)(memory + i * STEP));
    }
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
    static fake_stack stack;
    calls_are_kept_as_a_tree();
    sleeps_are_found();
    for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
        sites_add_up(version);
        stretches_have_bounds(version);
        released_between(version);
        unknown_calls_are_marked(version);
        collections_are_a_site(version, &stack);
        calls_have_callers(version);
    }
    collections_are_a_site_anywhere(LAST_VERSION);
    puts(DRIVER ": fine");
    return 0;
}
