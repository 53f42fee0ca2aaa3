/* Runs a monitor against a GIL that is only three words and a condition variable, also
 * for the thread sanitizer. The exit status is 0 if all that it counts and reports is
 * right.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../sampler/layouts.h"
#include "../sampler/linux_threads.h"
#include "../sampler/log_writer.h"
#include "../sampler/monitor.h"
#include "../sampler/thread_names.h"
#include "../sampler/thread_table.h"
#include "../sampler/waiting_frame.h"
#include "fake_stack.h"

enum { FIRST_VERSION = 11, LAST_VERSION = 15, TID = 400, ID = 408, NEXT = 424 };

static void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr, "monitor_driver: not so: %s\n", what);
        exit(1);
    }
}

static const gilx_stack_layout *layout_of(int version) {
    const gilx_layout *layout = gilx_layout_of(0x030000f0 | (uint64_t)version << 16);
    return gilx_stack_layout_of(layout, false);
}

/* ---- parts ------------------------------------------------------------------------ */

static void add(gilx_hold_track *track, int64_t at, uintptr_t holder, bool awaited,
                gilx_standing stands) {
    const gilx_hold_sample sample = {.at_ns = at,
                                     .held = holder != 0,
                                     .holder = holder,
                                     .awaited = awaited,
                                     .stands = stands};
    gilx_hold_track_add(track, &sample);
}

static void expect_length(gilx_hold_track *track, int64_t now, int64_t low,
                          int64_t high) {
    const gilx_hold_length longest = gilx_hold_track_take(track, now);
    expect(longest.low == low && longest.high == high, "a hold has its bounds");
}

static void holds_have_bounds(void) {
    gilx_hold_track track = gilx_hold_track_from(100);
    add(&track, 110, 0, false, GILX_STANDS_UNKNOWN);
    add(&track, 130, 1, false, GILX_STANDS_UNKNOWN);
    expect_length(&track, 135, 0, 25); /* from 110 on at the earliest */
    add(&track, 140, 1, false, GILX_STANDS);
    add(&track, 150, 1, false, GILX_STANDS);
    expect_length(&track, 155, 20, 45);
    expect_length(&track, 155, 20, 45);     /* it still goes on */
    add(&track, 160, 1, false, GILX_MOVED); /* another hold of the same thread */
    expect_length(&track, 165, 20, 50);
    add(&track, 170, 1, true, GILX_STANDS);
    add(&track, 1000000000, 1, false, GILX_MOVED); /* whoever waits has not got it */
    add(&track, 1000000010, 0, false, GILX_STANDS_UNKNOWN);
    expect_length(&track, 1000000010, 999999840, 999999860);
    expect_length(&track, 1000000015, 0, 5);
    add(&track, 1000000020, 1, false, GILX_STANDS_UNKNOWN);
    add(&track, 1000000030, 1, false, GILX_STANDS);
    add(&track, 2000000030, 1, false, GILX_STANDS); /* it may be another one */
    expect_length(&track, 2000000030, 10, 1000000020);
    add(&track, 2000000040, 1, false, GILX_STANDS_UNKNOWN); /* and so may this one */
    expect_length(&track, 2000000040, 0, 1000000030);
    add(&track, 2000000050, 2, false, GILX_STANDS_UNKNOWN);
    expect_length(&track, 2000000050, 0, 1000000040);
    expect_length(&track, 2000000050, 0, 10);
}

static void expect_text(const gilx_text *text, const char *expected, const char *what) {
    expect(text->size == strlen(expected) &&
               memcmp(text->bytes, expected, text->size) == 0,
           what);
}

static void text_is_safe_and_limited(void) {
    static gilx_text text;
    gilx_text_begin(&text, 12);
    gilx_text_add(&text, "\n");
    gilx_text_add_number(&text, -120);
    gilx_text_add(&text, " ");
    gilx_text_add_seconds(&text, 61004999999);
    gilx_text_add(&text, " ");
    gilx_text_add_seconds(&text, 95000000);
    expect_text(&text, "gilx: process 12: \n-120 61.00 s 0.10 s", "words and numbers");
    for (int i = 0; i < GILX_REPORT_BYTES; ++i) {
        gilx_text_add_name(&text,
                           "\xe2\x80\xae"); /* which is longer when it is escaped */
    }
    static const char END[] = "\\u202e\n  (the report is cut here)\n";
    expect(text.size <= GILX_REPORT_BYTES && text.cut &&
               memcmp(text.bytes + text.size - (sizeof(END) - 1), END, sizeof(END) - 1) ==
                   0,
           "a text that is too long says so");
}

/* As Python's ascii() has them. */
static void names_are_escaped(void) {
    static const struct {
        const char *name, *shown;
    } NAMES[] = {
        {"caf\xc3\xa9 \\ \xe2\x82\xac \xf0\x9f\x90\x8d", NULL},
        {"a\nb\tc\rd\x1b[1m\x01\x7f", "a\\nb\\tc\\rd\\x1b[1m\\x01\\x7f"},
        {"\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0\xc2\xad\xc2\xa1",
         "\\x80\\x9b\\x9f\\xa0\\xad\xc2\xa1"},
        {"\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xef\xbb\xbf",
         "\\u202e\\u2066\\u2028\\ufeff"},
        {"\xed\xb3\xa9", "\\udce9"}, /* a lone surrogate */
        {"\xf3\xa0\x80\x81\xf4\x8f\xbf\xbf", "\\U000e0001\\U0010ffff"},
        /* What is not UTF-8: C1 as a byte, a name that was cut, long forms, too large */
        {"\x9b"
         "31m",
         "\xef\xbf\xbd"
         "31m"},
        {"\xe2\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc0\x8a", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe0\x80\x8a", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    static gilx_text text;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(*NAMES); ++i) {
        gilx_text_clear(&text);
        gilx_text_add_name(&text, NAMES[i].name);
        expect_text(&text, NAMES[i].shown == NULL ? NAMES[i].name : NAMES[i].shown,
                    "a name is escaped as in Python");
    }
}

/* Names belong to the threads for which they were noted, and not to their numbers. */
static void names_of_threads_are_noted(void) {
    char name[GILX_PYTHON_NAME_SIZE], expected[GILX_PYTHON_NAME_SIZE], longer[100];
    const int64_t own = gilx_own_tid(), nobody = 1 << 22;
    expect(!gilx_find_thread_name(own, name), "no name is known yet");
    expect(gilx_note_thread_name(own, "first"), "it is noted");
    expect(gilx_find_thread_name(own, name) && strcmp(name, "first") == 0, "and found");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    memset(expected, 'x', sizeof(expected) - 1);
    expected[sizeof(expected) - 1] = '\0';
    expect(gilx_note_thread_name(own, longer), "another one is noted");
    expect(gilx_find_thread_name(own, name) && strcmp(name, expected) == 0, "cut");
    expect(gilx_note_thread_name(own, ""), "and an empty one");
    expect(gilx_find_thread_name(own, name) && name[0] == '\0', "without a rest");
    expect(!gilx_note_thread_name(nobody, "none"), "an unknown thread is refused,");
    expect(!gilx_find_thread_name(nobody, name), "and it has no name");
    expect(!gilx_find_thread_name(own + (1 << 10), name), "another one at its place");
}

static void dates_are_those_of_the_calendar(void) {
    enum { DAY = 86400 };
    static const int64_t NAMED[] = {
        0,          DAY - 1,
        951782400,  951868799, /* 29 February 2000 */
        1709164800, 1709251199,
        1709251200, 1735689599,
        4107542399, 4107542400, /* 2100 is not a leap year */
        2147483648, 32535215999 /* 3000 */,
    };
    static gilx_text text;
    gilx_text_clear(&text);
    gilx_text_add_date(&text, 951782400);
    expect_text(&text, "2000-02-29 00:00:00 UTC", "a leap year at a century");
    for (int i = 0; i < 4000; ++i) {
        const int named = (int)(sizeof(NAMED) / sizeof(*NAMED));
        const int64_t seconds = i < named ? NAMED[i] : i * (int64_t)DAY * 97 + i * 1237;
        const time_t time = (time_t)seconds;
        struct tm date;
        char expected[64];
        expect(gmtime_r(&time, &date) != NULL &&
                   strftime(expected, sizeof(expected), "%Y-%m-%d %H:%M:%S UTC", &date) >
                       0,
               "the C library knows the date");
        gilx_text_clear(&text);
        gilx_text_add_date(&text, seconds);
        expect_text(&text, expected, "a date is that of the C library");
    }
}

/* Nobody reads: what does not fit is dropped, and nothing waits. */
static void full_pipes_do_not_block(void) {
    static char line[1000], taken[1 << 17];
    memset(line, 'x', sizeof(line));
    sigset_t broken, before;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE); /* as it is in the sampler's thread */
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    for (int kind = 0; kind < 2; ++kind) {
        int ends[2];
        expect((kind == 0 ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) == 0,
               "there are pipes");
        gilx_log log;
        expect(gilx_log_open(&log, ends[1]) == 0, "a log can be opened");
        const int64_t begin = gilx_now_ns();
        int64_t lines = 0;
        while (log.dropped == 0 && gilx_now_ns() - begin < 60000000000) {
            gilx_log_write(&log, line, sizeof(line));
            ++lines;
        }
        expect(log.dropped > 0, "a full pipe takes no more");
        const int64_t dropped = log.dropped;
        gilx_log_write(&log, line, sizeof(line));
        expect(log.dropped == dropped + (int64_t)sizeof(line), "which is counted");
        expect(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0, "reading does not block either");
        int64_t arrived = 0;
        ssize_t size;
        while ((size = read(ends[0], taken, sizeof(taken))) > 0) {
            arrived += size;
        }
        const int64_t all = (lines + 1) * (int64_t)sizeof(line);
        const int64_t more = arrived + log.dropped - all; /* the end of a cut line */
        expect(more == 0 || more == 1, "what was not dropped arrived");
        gilx_log_write(&log, "new\n", 4);
        size = read(ends[0], taken, sizeof(taken));
        expect(size == 5 && memcmp(taken, "\nnew\n", 5) == 0,
               "the next text begins on a line of its own");
        close(ends[0]);
        gilx_log_write(&log, "gone\n", 5);
        expect(log.dropped >= dropped + 5, "a reader that has gone takes nothing");
        gilx_log_close(&log);
        gilx_log_close(&log);
        close(ends[1]);
    }
    const struct timespec at_once = {0};
    (void)sigtimedwait(&broken, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    gilx_log log;
    expect(gilx_log_open(&log, 1 << 20) == EBADF, "a bad descriptor is refused");
    gilx_log_write(&log, "x", 1);
}

static void tables_shrink(void) {
    enum { COUNT = 3000 };
    gilx_thread_table *table = calloc(1, sizeof(*table));
    uint16_t *places = calloc(GILX_THREADS, sizeof(*places));
    expect(table != NULL && places != NULL, "there is memory for a table");
    for (int64_t tid = 1; tid <= COUNT; ++tid) {
        expect(gilx_thread_add(table, tid, false) == tid - 1, "threads are added");
    }
    for (int i = 0; i < COUNT; ++i) {
        places[i] = i % 3 == 0 ? 0 : GILX_UNKNOWN_THREAD;
    }
    gilx_thread_table_shrink(table, places);
    expect(table->count == COUNT / 3, "those that stay are there");
    for (int i = 0; i < COUNT; ++i) {
        const int expected = i % 3 == 0 ? i / 3 : GILX_UNKNOWN_THREAD;
        expect(places[i] == expected, "their new places are known,");
        expect(gilx_thread_place(table, i + 1) == expected, "and they are found there");
        if (i % 3 == 0) {
            expect(table->threads[expected].number == i, "with their numbers");
        }
    }
    expect(gilx_thread_add(table, 2, false) == COUNT / 3, "there is a place again");
    expect(table->threads[COUNT / 3].number == COUNT, "no number comes twice");
    free(places);
    free(table);
}

/* ---- a monitor -------------------------------------------------------------------- */

typedef struct {
    struct {
        unsigned long interval;
        _Atomic uintptr_t holder;
        _Atomic int locked;
        _Atomic unsigned long switches;
    } words;
    /* On which threads wait for it, and as CPython has them after it. */
    pthread_cond_t condition;
    pthread_mutex_t mutex, other_mutex;
    pthread_cond_t other_condition;
    _Atomic uintptr_t first; /* thread state */
    atomic_int waiting;
    bool over; /* of those that wait */
} fake_gil;

static gilx_gil_words words_of(const fake_gil *gil) {
    return (gilx_gil_words){.interval = &gil->words.interval,
                            .locked = &gil->words.locked,
                            .holder = &gil->words.holder,
                            .switches = &gil->words.switches};
}

static void make(fake_gil *gil) {
    memset(gil, 0, sizeof(*gil));
    gil->words.interval = 5000;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&gil->condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&gil->mutex, NULL);
}

static void take(fake_gil *gil, const fake_stack *stack) {
    atomic_store(&gil->words.holder, (uintptr_t)stack->state);
    atomic_fetch_add(&gil->words.switches, 1);
    atomic_store(&gil->words.locked, 1);
}

/* Wait as CPython does, 5 ms at a time, until it is over. */
static void *wait_for_it(void *argument) {
    fake_gil *gil = argument;
    atomic_fetch_add(&gil->waiting, 1);
    pthread_mutex_lock(&gil->mutex);
    while (!gil->over) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 5000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&gil->condition, &gil->mutex, &until);
    }
    pthread_mutex_unlock(&gil->mutex);
    return NULL;
}

static gilx_sampler *started(fake_gil *gil, const gilx_stack_layout *stacks,
                             const gilx_monitor_options *monitor) {
    const gilx_sampler_options options = {
        .watched = gilx_own_tid(),
        .cost = 0.2,
        .seed = 1,
        .states = {.tid = TID, .id = ID, .next = NEXT, .first = &gil->first},
        .stacks = stacks,
        .lock_known = true,
        .code_type = (uintptr_t)fake_code_type,
        .monitor = monitor,
    };
    gilx_memory memory;
    const gilx_gil_words words = words_of(gil);
    expect(gilx_memory_open(&memory, NULL), "memory can be read");
    gilx_sampler *sampler = gilx_sampler_new(&words, &options, &memory);
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0, "it starts");
    gilx_sampler_begin(sampler);
    return sampler;
}

/* Read from a descriptor until a text has come, for a minute at most. */
static char *read_until(int file, const char *wanted) {
    static char text[1 << 16];
    size_t size = 0;
    const int64_t begin = gilx_now_ns();
    text[0] = '\0';
    while (strstr(text, wanted) == NULL && gilx_now_ns() - begin < 60000000000) {
        const ssize_t more = read(file, text + size, sizeof(text) - 1 - size);
        size += more > 0 ? (size_t)more : 0;
        text[size] = '\0';
        gilx_sleep_ns(1000000);
    }
    return text;
}

static int64_t stalls_of(gilx_sampler *sampler) {
    gilx_reading reading;
    expect(gilx_sampler_read(sampler, &reading) == 0, "it can be read");
    free(reading.threads);
    return reading.stalls[GILX_GIL_STALL];
}

/* The time for which the GIL was found free. */
static double free_time(gilx_sampler *sampler) {
    gilx_reading reading;
    expect(gilx_sampler_read(sampler, &reading) == 0, "it can be read");
    free(reading.threads);
    return reading.totals.counted - reading.totals.locked.x;
}

static void let_all_go(fake_gil *gil, pthread_t *threads, int count) {
    pthread_mutex_lock(&gil->mutex);
    gil->over = true;
    pthread_cond_broadcast(&gil->condition);
    pthread_mutex_unlock(&gil->mutex);
    for (int i = 0; i < count; ++i) {
        pthread_join(threads[i], NULL);
    }
}

/* A GIL that is not released while threads wait is reported while that lasts, with the
 * holder's stack, and again when it has been released. */
static void stalls_are_reported(int version, bool stacks) {
    enum { WAITERS = 3 };
    static fake_gil gil;
    static fake_stack holder;
    static gilx_stall_record records[GILX_STALLS_KEPT];
    const gilx_stack_layout *layout = layout_of(version);
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    fake_stack_make(&holder, layout, 7);
    fake_store(holder.state, TID, (uintptr_t)gilx_own_tid());
    atomic_store(&gil.first, (uintptr_t)holder.state);
    fake_call(&holder, 1, 0, 0);
    fake_call_from_c(&holder, 2, FAKE_UNITS - 1, 0);
    const gilx_monitor_options options = {.stall_ns = 30000000, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, stacks ? layout : NULL, &options);
    if (!gilx_sampler_sees_waiters(sampler)) {
        puts("not here: how many threads wait");
        gilx_sampler_free(sampler);
        return;
    }
    gilx_sampler_note(sampler, "a note\n", "a deadlock\n");
    take(&gil, &holder);
    gilx_sleep_ns(100000000);
    expect(stalls_of(sampler) == 0, "nobody waits");
    pthread_t threads[WAITERS];
    for (int i = 0; i < WAITERS; ++i) {
        expect(pthread_create(&threads[i], NULL, wait_for_it, &gil) == 0,
               "threads can be made");
    }
    char *text = read_until(ends[0], "a note\n");
    char expected[200];
    (void)snprintf(expected, sizeof(expected),
                   "gilx: process %d: the GIL was not released for 0.", getpid());
    expect(strncmp(text, expected, strlen(expected)) == 0, "it is reported at once,");
    expect(strstr(text, "a deadlock\n") == NULL, "not as a deadlock,");
    (void)snprintf(expected, sizeof(expected), "Thread %d (main thread) holds the GIL",
                   getpid());
    expect(strstr(text, expected) != NULL, "with the thread that holds it,");
    static const char STACK[] = " (most recent call first):\n"
                                "  File \"fake.py\", line 202 in thread7.function2\n"
                                "  File \"fake.py\", line 101 in thread7.function1\n";
    expect((strstr(text, STACK) != NULL) == stacks, "and its stack");
    expect(stacks || strstr(text, "can't be read") != NULL, "or why there is none");
    text = read_until(ends[0], "a note\n");
    expect(strstr(text, "still not been released after ") != NULL,
           "it is reported again");
    expect(gilx_sampler_stalls(sampler, records) == 1, "that is one stall");
    expect(records[0].high_ns == -1 && records[0].low_ns >= 300000000 &&
               records[0].number == 1,
           "which goes on");
    atomic_store(&gil.words.locked, 0);
    text = read_until(ends[0], " UTC\n");
    expect(strstr(text, "the GIL was released after ") != NULL, "its end is reported");
    let_all_go(&gil, threads, WAITERS);
    expect(gilx_sampler_stalls(sampler, records) == 1, "it was one stall,");
    expect(records[0].high_ns >= records[0].low_ns && records[0].low_ns >= 300000000,
           "whose length is known,");
    expect(records[0].waiters == WAITERS, "and how many waited,");
    expect(!stacks || (strcmp(records[0].place.function, "thread7.function2") == 0 &&
                       strcmp(records[0].place.file, "fake.py") == 0 &&
                       records[0].place.line == 202),
           "and where");
    expect(stalls_of(sampler) == 1, "it is counted once");
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    expect(stalls_of(sampler) == 1, "also after the stop");
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* A stall that goes on when the monitor is stopped has the length up to then. */
static void stalls_stay_open_at_the_stop(void) {
    enum { AFTER_REPORT_NS = 100000000 };
    static fake_gil gil;
    static fake_stack holder;
    static gilx_stall_record records[GILX_STALLS_KEPT];
    static gilx_loop_table table;
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    memset(&table, 0, sizeof(table));
    fake_stack_make(&holder, layout_of(LAST_VERSION), 0);
    expect(gilx_loop_begin(&table, gilx_own_tid(), true) == 0, "a loop runs");
    const gilx_monitor_options options = {
        .stall_ns = 50000000, .loop_ns = 50000000, .loops = &table, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, NULL, &options);
    const int expected = 1 + gilx_sampler_sees_waiters(sampler);
    pthread_t thread;
    expect(pthread_create(&thread, NULL, wait_for_it, &gil) == 0, "threads can be made");
    const int64_t begin = gilx_now_ns();
    take(&gil, &holder);
    gilx_loop_runs(&table.loops[0]);
    while (gilx_sampler_stalls(sampler, records) < expected &&
           gilx_now_ns() - begin < 60000000000) {
        gilx_sleep_ns(1000000);
    }
    gilx_sleep_ns(AFTER_REPORT_NS);
    gilx_sampler_stop(sampler);
    expect(gilx_sampler_stalls(sampler, records) == expected, "both are reported");
    for (int i = 0; i < expected; ++i) {
        expect(records[i].open_at_stop && records[i].high_ns == -1, "they go on");
        expect(records[i].low_ns >= 50000000 + AFTER_REPORT_NS / 2,
               "their length is that up to the stop");
    }
    const char *text = read_until(ends[0], "blocked, for ");
    expect(strstr(text, "the monitor was stopped while the event loop of thread ") !=
               NULL,
           "which is reported of the loop");
    expect(expected == 1 || strstr(text, "the monitor was stopped while the GIL was not "
                                         "released, for ") != NULL,
           "and of the GIL");
    gilx_loop_waits(&table.loops[0]);
    let_all_go(&gil, &thread, 1);
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* Of many stalls, only some are reported, and the rest is counted. */
static void reports_are_limited(void) {
    enum { STALLS = 12, MOST = 5 };
    static fake_gil gil;
    static fake_stack holder;
    static gilx_stall_record records[GILX_STALLS_KEPT];
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    fake_stack_make(&holder, layout_of(LAST_VERSION), 0);
    const gilx_monitor_options options = {.stall_ns = 10000000, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, NULL, &options);
    if (gilx_sampler_sees_waiters(sampler)) {
        pthread_t thread;
        expect(pthread_create(&thread, NULL, wait_for_it, &gil) == 0, "threads run");
        const int64_t begin = gilx_now_ns();
        for (int i = 1; i <= STALLS; ++i) {
            take(&gil, &holder);
            while ((stalls_of(sampler) < i ||
                    (i <= MOST && gilx_sampler_stalls(sampler, records) < i)) &&
                   gilx_now_ns() - begin < 60000000000) {
                gilx_sleep_ns(1000000);
            }
            /* Without a sample meanwhile, two holds would be one. */
            const double before = free_time(sampler);
            atomic_store(&gil.words.locked, 0);
            do {
                gilx_sleep_ns(5000000);
            } while (free_time(sampler) <= before && gilx_now_ns() - begin < 60000000000);
        }
        expect(stalls_of(sampler) == STALLS, "all are counted");
        const int reported = gilx_sampler_stalls(sampler, records);
        /* There may be one more in each ten seconds. */
        const int64_t more = (gilx_now_ns() - begin) / 10000000000 + 1;
        expect(reported >= MOST && reported <= MOST + more, "not all are reported");
        let_all_go(&gil, &thread, 1);
    }
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* ---- event loops ------------------------------------------------------------------ */

/* A thread that runs a loop, which is in its selector for a moment at each turn. */
typedef struct {
    gilx_loop_table *table;
    int64_t tid;
    int64_t busy_ns; /* for how long it returns to the selector all the time; then it is
                        blocked */
    int64_t longest_ns; /* time outside in these turns */
    atomic_bool ready, over;
} fake_loop;

static pthread_mutex_t loop_mutex = PTHREAD_MUTEX_INITIALIZER; /* in place of the GIL */

static void *run_loop(void *argument) {
    fake_loop *self = argument;
    self->tid = gilx_own_tid();
    pthread_mutex_lock(&loop_mutex);
    const int place = gilx_loop_begin(self->table, self->tid, true);
    pthread_mutex_unlock(&loop_mutex);
    gilx_loop *loop = &self->table->loops[place];
    gilx_loop_waits(loop);
    gilx_loop_runs(loop);
    const int64_t begin = gilx_now_ns();
    int64_t before = begin;
    while (before - begin < self->busy_ns) {
        gilx_sleep_ns(100000);
        const int64_t now = gilx_now_ns();
        self->longest_ns =
            now - before > self->longest_ns ? now - before : self->longest_ns;
        gilx_loop_waits(loop);
        gilx_loop_runs(loop);
        before = now;
    }
    atomic_store(&self->ready, true);
    while (!atomic_load(&self->over)) {
        gilx_sleep_ns(1000000);
    }
    pthread_mutex_lock(&loop_mutex);
    gilx_loop_end(self->table, place);
    pthread_mutex_unlock(&loop_mutex);
    return NULL;
}

static pthread_t start_loop(fake_loop *loop) {
    pthread_t thread;
    expect(pthread_create(&thread, NULL, run_loop, loop) == 0, "threads can be made");
    return thread;
}

static void wait_for_loop(fake_loop *loop) {
    const int64_t begin = gilx_now_ns();
    while (!atomic_load(&loop->ready) && gilx_now_ns() - begin < 60000000000) {
        gilx_sleep_ns(1000000);
    }
    expect(atomic_load(&loop->ready), "the loop gets there");
}

static int64_t blocked_of(gilx_sampler *sampler) {
    gilx_reading reading;
    expect(gilx_sampler_read(sampler, &reading) == 0, "it can be read");
    free(reading.threads);
    return reading.stalls[GILX_LOOP_STALL];
}

static void places_of_loops_are_used_again(void) {
    gilx_loop_table *table = calloc(1, sizeof(*table));
    expect(table != NULL, "there is memory for loops");
    int64_t tid;
    uint64_t first, second;
    expect(gilx_loop_begin(table, 7, false) == 0, "the first place is free");
    expect(gilx_loop_is_out(&table->loops[0], &tid, &first) && tid == 7, "it runs,");
    gilx_loop_waits(&table->loops[0]);
    expect(!gilx_loop_is_out(&table->loops[0], &tid, &second), "waits,");
    gilx_loop_runs(&table->loops[0]);
    expect(gilx_loop_is_out(&table->loops[0], &tid, &second) && second > first,
           "and runs again");
    gilx_loop_end(table, 0);
    expect(!gilx_loop_is_out(&table->loops[0], &tid, &first), "it has ended");
    for (int i = 0; i < GILX_LOOPS; ++i) {
        expect(gilx_loop_begin(table, 8, i == 0) == i, "there are places");
    }
    expect(!gilx_loop_is_out(&table->loops[0], &tid, &first), "it counts as waiting");
    gilx_loop_runs(&table->loops[0]);
    expect(gilx_loop_is_out(&table->loops[0], &tid, &first) && first > second,
           "no turn comes twice");
    expect(gilx_loop_begin(table, 9, true) == -1, "for so many");
    expect(atomic_load(&table->used) == GILX_LOOPS, "all are used");
    free(table);
}

/* A thread whose outer function stays, and calls others all the time. */
typedef struct {
    fake_stack stack;
    atomic_bool over;
} moving_stack;

static void *call_all_the_time(void *argument) {
    moving_stack *self = argument;
    for (int i = 0; !atomic_load(&self->over); ++i) {
        fake_call(&self->stack, 2 + i % 2, i % FAKE_UNITS, 0);
        for (int j = 0; j < i % 50; ++j) {
            fake_advance(&self->stack, 2 + i % 2, j % FAKE_UNITS, 0);
        }
        fake_return(&self->stack);
    }
    return NULL;
}

/* What two readings have in common is right; of a stack that stays, that is all. */
static void steady_stacks_are_read(int version) {
    enum { MOST = 8, READINGS = 2000 };
    static moving_stack moving;
    const gilx_stack_layout *layout = layout_of(version);
    gilx_frame frames[MOST];
    bool inner, complete;
    gilx_memory memory;
    expect(gilx_memory_open(&memory, NULL), "memory can be read");
    fake_stack *stack = &moving.stack;
    fake_stack_make(stack, layout, 5);
    const uintptr_t state = (uintptr_t)stack->state;
    expect(gilx_steady_stack(layout, &memory, state, frames, MOST, &inner, &complete) ==
                   0 &&
               complete && !inner,
           "there are no frames,");
    expect(gilx_steady_stack(layout, &memory, 0, frames, MOST, &inner, &complete) == 0 &&
               !complete,
           "or no thread");
    fake_call(stack, 1, 3, 0);
    fake_call(stack, 2, 4, 0);
    expect(gilx_steady_stack(layout, &memory, state, frames, MOST, &inner, &complete) ==
                   2 &&
               complete && !inner,
           "a stack that stays is read to its end");
    expect(frames[0].code == (uintptr_t)stack->functions[2].code &&
               frames[1].code == (uintptr_t)stack->functions[1].code,
           "the innermost frame first");
    fake_return(stack);
    pthread_t thread;
    atomic_store(&moving.over, false);
    expect(pthread_create(&thread, NULL, call_all_the_time, &moving) == 0, "threads run");
    int known = 0;
    for (int i = 0; i < READINGS; ++i) {
        const int count =
            gilx_steady_stack(layout, &memory, state, frames, MOST, &inner, &complete);
        const uintptr_t outer = (uintptr_t)stack->functions[1].code;
        const uintptr_t called[] = {(uintptr_t)stack->functions[2].code,
                                    (uintptr_t)stack->functions[3].code};
        known += count > 0;
        expect(count <= 2, "no frame is there twice");
        expect(count == 0 || frames[count - 1].code == outer, "the outer one stays,");
        expect(count < 2 || frames[0].code == called[0] || frames[0].code == called[1],
               "and calls others");
    }
    expect(known > READINGS / 2, "something is known of most");
    atomic_store(&moving.over, true);
    pthread_join(thread, NULL);
    gilx_memory_close(&memory);
}

/* No callback lasts long, but all together last for several times the limit. */
static void loops_that_return_are_not_reported(void) {
    static fake_gil gil;
    static gilx_loop_table table;
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    const gilx_monitor_options options = {
        .loop_ns = 200000000, .loops = &table, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, NULL, &options);
    expect(gilx_loop_begin(&table, gilx_own_tid(), true) == 0, "a loop waits");
    fake_loop busy = {.table = &table, .busy_ns = 700000000};
    const pthread_t thread = start_loop(&busy);
    atomic_store(&busy.over, true);
    pthread_join(thread, NULL);
    gilx_sampler_stop(sampler);
    if (busy.longest_ns < options.loop_ns / 2) {
        expect(blocked_of(sampler) == 0, "no loop was blocked");
    } else {
        puts("not now: a loop that has a CPU in time");
    }
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* One loop is blocked, beside one that waits in its selector. */
static void blocked_loops_are_reported(int version, bool stacks) {
    static fake_gil gil;
    static fake_stack stack;
    static gilx_stall_record records[GILX_STALLS_KEPT];
    static gilx_loop_table table;
    const gilx_stack_layout *layout = layout_of(version);
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    memset(&table, 0, sizeof(table));
    fake_stack_make(&stack, layout, 7);
    atomic_store(&gil.first, (uintptr_t)stack.state);
    fake_call(&stack, 1, 0, 0);
    fake_call_from_c(&stack, 2, FAKE_UNITS - 1, 0);
    expect(gilx_loop_begin(&table, gilx_own_tid(), true) == 0, "a loop that waits");
    const gilx_monitor_options options = {
        .loop_ns = 50000000, .loops = &table, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, stacks ? layout : NULL, &options);
    gilx_sampler_note(sampler, "a note\n", "");
    fake_loop blocked = {.table = &table};
    const pthread_t thread = start_loop(&blocked);
    wait_for_loop(&blocked);
    fake_store(stack.state, TID, (uintptr_t)blocked.tid);
    char *text = read_until(ends[0], "a note\n");
    char expected[200];
    (void)snprintf(expected, sizeof(expected),
                   "gilx: process %d: the event loop of thread %lld", getpid(),
                   (long long)blocked.tid);
    expect(strncmp(text, expected, strlen(expected)) == 0, "the loop is named,");
    expect(strstr(text, " has not returned to its selector for ") != NULL,
           "with what it does,");
    static const char STACK[] = " (most recent call first):\n"
                                "  File \"fake.py\", line 202 in thread7.function2\n"
                                "  File \"fake.py\", line 101 in thread7.function1\n";
    expect((strstr(text, STACK) != NULL) == stacks, "and its stack");
    expect(stacks || strstr(text, "can't be read") != NULL, "or why there is none");
    text = read_until(ends[0], "a note\n");
    expect(strstr(text, "still not returned to its selector after ") != NULL,
           "it is reported again");
    const int count = gilx_sampler_stalls(sampler, records);
    expect(count == 1 && blocked_of(sampler) == 1, "that is counted");
    const gilx_stall_record *last = &records[0];
    expect(last->kind == GILX_LOOP_STALL && last->high_ns == -1 &&
               last->low_ns >= 500000000 && last->place.tid == blocked.tid &&
               last->waiters == 0,
           "and goes on");
    expect(stalls_of(sampler) == 0, "the GIL is not held");
    atomic_store(&blocked.over, true);
    pthread_join(thread, NULL);
    text = read_until(ends[0], " UTC\n");
    expect(strstr(text, " was blocked for ") != NULL, "its end is reported");
    expect(gilx_sampler_stalls(sampler, records) == count, "it was one stall,");
    expect(last->high_ns >= last->low_ns, "whose length is known,");
    expect(!stacks || (strcmp(last->place.function, "thread7.function2") == 0 &&
                       last->place.line == 202),
           "and where");
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* Each of several loops that are blocked at once is reported. */
static void loops_are_judged_each_by_itself(void) {
    enum { LOOPS = 3 };
    static fake_gil gil;
    static gilx_stall_record records[GILX_STALLS_KEPT];
    static gilx_loop_table table;
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    make(&gil);
    const gilx_monitor_options options = {
        .loop_ns = 20000000, .loops = &table, .log = ends[1]};
    gilx_sampler *sampler = started(&gil, NULL, &options);
    fake_loop loops[LOOPS];
    pthread_t threads[LOOPS];
    for (int i = 0; i < LOOPS; ++i) {
        loops[i] = (fake_loop){.table = &table};
        threads[i] = start_loop(&loops[i]);
    }
    const int64_t begin = gilx_now_ns();
    while (gilx_sampler_stalls(sampler, records) < LOOPS &&
           gilx_now_ns() - begin < 60000000000) {
        gilx_sleep_ns(1000000);
    }
    expect(gilx_sampler_stalls(sampler, records) == LOOPS, "there is one of each");
    for (int i = 0; i < LOOPS; ++i) {
        int found = 0;
        for (int j = 0; j < LOOPS; ++j) {
            found += records[j].place.tid == loops[i].tid;
        }
        expect(found == 1, "which belongs to its thread");
        atomic_store(&loops[i].over, true);
        pthread_join(threads[i], NULL);
    }
    while (records[0].high_ns < 0 || records[1].high_ns < 0 || records[2].high_ns < 0) {
        expect(gilx_now_ns() - begin < 60000000000, "they end");
        (void)gilx_sampler_stalls(sampler, records);
        gilx_sleep_ns(1000000);
    }
    expect(blocked_of(sampler) == LOOPS, "all are counted");
    gilx_sampler_free(sampler);
    close(ends[0]);
    close(ends[1]);
}

/* The process ends after the report. */
static void process_exits(void) {
    int ends[2];
    expect(pipe2(ends, O_NONBLOCK) == 0, "there are pipes");
    (void)fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        static fake_gil gil;
        static fake_stack holder;
        make(&gil);
        fake_stack_make(&holder, layout_of(LAST_VERSION), 0);
        const gilx_monitor_options options = {
            .stall_ns = 20000000, .exits = true, .log = ends[1]};
        gilx_sampler *sampler = started(&gil, NULL, &options);
        if (!gilx_sampler_sees_waiters(sampler)) {
            _exit(GILX_EXIT_STATUS);
        }
        take(&gil, &holder);
        wait_for_it(&gil); /* indefinitely */
    }
    int status = -1;
    expect(waitpid(child, &status, 0) == child && WIFEXITED(status) &&
               WEXITSTATUS(status) == GILX_EXIT_STATUS,
           "the process ends with this status");
    close(ends[0]);
    close(ends[1]);
}

/* A thread that only asks does not count as one that waits. */
static void asking_is_not_waiting(void) {
    static fake_gil gil;
    static fake_stack holder;
    make(&gil);
    fake_stack_make(&holder, layout_of(LAST_VERSION), 0);
    const gilx_monitor_options options = {.stall_ns = 0};
    gilx_sampler *sampler = started(&gil, NULL, &options);
    expect(gilx_sampler_wait_to_ask(sampler, 1000000), "it is time to ask");
    take(&gil, &holder);
    pthread_t thread;
    expect(pthread_create(&thread, NULL, wait_for_it, &gil) == 0, "threads can be made");
    gilx_sleep_ns(100000000);
    const int64_t begin = gilx_now_ns();
    int64_t longest;
    double waiters;
    do { /* until there were samples, also on a busy machine */
        gilx_sleep_ns(1000000);
        gilx_reading reading;
        expect(gilx_sampler_read(sampler, &reading) == 0, "it can be read");
        free(reading.threads);
        longest = reading.longest.low;
        waiters = reading.totals.waiters.x;
    } while (longest <= 0 && gilx_sampler_sees_waiters(sampler) &&
             gilx_now_ns() - begin < 60000000000);
    let_all_go(&gil, &thread, 1);
    gilx_sampler_asked(sampler);
    expect(waiters == 0, "nobody waited");
    expect(longest > 0 || !gilx_sampler_sees_waiters(sampler),
           "but the hold is known to go on");
    gilx_sampler_stop(sampler);
    expect(!gilx_sampler_wait_to_ask(sampler, 1000000), "it has ended");
    gilx_sampler_free(sampler);
}

/* ---- readings --------------------------------------------------------------------- */

typedef struct {
    gilx_sampler *sampler;
    atomic_bool over;
} readers_task;

static void expect_not_less(double before, double now) {
    expect(now >= before, "no counter decreases");
}

static void *read_all_the_time(void *argument) {
    readers_task *task = argument;
    gilx_totals before = {0};
    int64_t now = 0;
    while (!atomic_load(&task->over)) {
        gilx_reading reading;
        expect(gilx_sampler_read(task->sampler, &reading) == 0, "it can be read");
        const gilx_totals *totals = &reading.totals;
        expect_not_less(before.counted, totals->counted);
        expect_not_less(before.locked.x, totals->locked.x);
        expect_not_less(before.unknown, totals->unknown);
        expect_not_less((double)before.cost_ns, (double)totals->cost_ns);
        expect_not_less((double)now, (double)reading.now_ns);
        expect(totals->locked.x <= totals->counted * 1.000001,
               "a part is at most the whole");
        double held = totals->unidentified + reading.ended.sums[GILX_HOLDS_GIL].time;
        for (int i = 0; i < reading.count; ++i) {
            held += reading.threads[i].does.sums[GILX_HOLDS_GIL].time;
        }
        expect(held >= totals->locked.x * 0.999 && held <= totals->locked.x * 1.001 + 1,
               "the parts of threads make the whole");
        before = *totals;
        now = reading.now_ns;
        free(reading.threads);
        gilx_sleep_ns(200000);
    }
    return NULL;
}

static void *hold_once(void *argument) {
    fake_gil *gil = argument;
    fake_stack stack;
    fake_stack_make(&stack, layout_of(LAST_VERSION), 0);
    fake_store(stack.state, TID, (uintptr_t)gilx_own_tid());
    pthread_mutex_lock(&gil->other_mutex);
    take(gil, &stack);
    gilx_sleep_ns(100000);
    atomic_store(&gil->words.locked, 0);
    pthread_mutex_unlock(&gil->other_mutex);
    return NULL;
}

/* Many threads begin and end while others read: the table stays small. */
static void threads_come_and_go(int count) {
    enum { READERS = 2 };
    static fake_gil gil;
    make(&gil);
    pthread_mutex_init(&gil.other_mutex, NULL);
    const gilx_monitor_options options = {.stall_ns = 0};
    readers_task task = {.sampler = started(&gil, NULL, &options)};
    pthread_t readers[READERS], thread;
    for (int i = 0; i < READERS; ++i) {
        expect(pthread_create(&readers[i], NULL, read_all_the_time, &task) == 0,
               "threads can be made");
    }
    int most = 0;
    for (int i = 0; i < count; ++i) {
        expect(pthread_create(&thread, NULL, hold_once, &gil) == 0, "and more");
        pthread_join(thread, NULL);
        if (i % 256 == 0) {
            gilx_reading reading;
            expect(gilx_sampler_read(task.sampler, &reading) == 0, "it can be read");
            most = reading.count > most ? reading.count : most;
            free(reading.threads);
        }
    }
    expect(most <= GILX_THREADS_LISTED, "the table has a limit");
    atomic_store(&task.over, true);
    for (int i = 0; i < READERS; ++i) {
        pthread_join(readers[i], NULL);
    }
    gilx_sampler_end(task.sampler);
    gilx_sampler_stop(task.sampler);
    gilx_sampler_free(task.sampler);
}

int main(void) {
    enum { MANY = 3000 };
    holds_have_bounds();
    text_is_safe_and_limited();
    names_are_escaped();
    dates_are_those_of_the_calendar();
    names_of_threads_are_noted();
    full_pipes_do_not_block();
    tables_shrink();
    for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
        stalls_are_reported(version, true);
    }
    stalls_are_reported(LAST_VERSION, false);
    stalls_stay_open_at_the_stop();
    reports_are_limited();
    places_of_loops_are_used_again();
    loops_that_return_are_not_reported();
    for (int version = FIRST_VERSION; version <= LAST_VERSION; ++version) {
        steady_stacks_are_read(version);
        blocked_loops_are_reported(version, true);
    }
    blocked_loops_are_reported(LAST_VERSION, false);
    loops_are_judged_each_by_itself();
    process_exits();
    asking_is_not_waiting();
    threads_come_and_go(MANY);
    puts("monitor_driver: fine");
    return 0;
}
