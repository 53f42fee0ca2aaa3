/* Asks threads what they do where that is known, and adds it up.
 *
 * The exit status is 0 if all is right.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../platform/clock.h"
#include "../platform/random.h"
#include "../sampler/condition.h"
#include "../sampler/layouts.h"
#include "../sampler/linux_threads.h"
#include "../sampler/sampler.h"
#include "../sampler/thread_activity.h"
#include "../sampler/waiting_frame.h"
#include "await_samples.h"
#include "fake_stack.h"

static void expect(bool truth, const char *what) {
    if (!truth) {
        (void)fprintf(stderr, "thread_activity_driver: not so: %s\n", what);
        exit(1);
    }
}

/* ---- texts ------------------------------------------------------------------------ */

static gilx_activity activity_in(long call, uintptr_t address,
                                 const gilx_lock_place *gil) {
    char text[GILX_SYSCALL_SIZE];
    (void)snprintf(text, sizeof(text), "%ld 0x%lx 0x80 0x0 0x0 0x0 0x0 0x7ffd 0x7fab\n",
                   call, (unsigned long)address);
    return gilx_activity_of(text, gil);
}

static void texts_are_understood(void) {
    const gilx_lock_place gil = {0x1000, 0x10b0}, none = {0, 0};
    static const char *const unknown[] = {"", "\n", "run", "x 0x1", "202", "202\n", " "};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(*unknown); ++i) {
        expect(gilx_activity_of(unknown[i], &gil) == GILX_DOES_UNKNOWN,
               "no more is said");
    }
    expect(gilx_activity_of("running\n", &gil) == GILX_ON_CPU, "it runs");
    expect(gilx_activity_of("-1 0x7ffd 0x7fab\n", &gil) == GILX_CALLS_SYSTEM,
           "it waits in Linux, in no call");
    expect(activity_in(SYS_futex, 0x1000, &gil) == GILX_AWAITS_GIL &&
               activity_in(SYS_futex, 0x10af, &gil) == GILX_AWAITS_GIL,
           "the GIL's lock is the GIL's from begin to end,");
    expect(activity_in(SYS_futex, 0xfff, &gil) == GILX_AWAITS_LOCK &&
               activity_in(SYS_futex, 0x10b0, &gil) == GILX_AWAITS_LOCK &&
               activity_in(SYS_futex, UINTPTR_MAX, &gil) == GILX_AWAITS_LOCK &&
               activity_in(SYS_futex, 0, &none) == GILX_AWAITS_LOCK,
           "and no other is");
    static const struct {
        long call;
        gilx_activity activity;
    } calls[] = {
        {SYS_clock_nanosleep, GILX_SLEEPS}, {SYS_read, GILX_READS},
        {SYS_pread64, GILX_READS},          {SYS_accept4, GILX_READS},
        {SYS_recvfrom, GILX_READS},         {SYS_ppoll, GILX_POLLS},
        {SYS_pselect6, GILX_POLLS},         {SYS_epoll_pwait, GILX_POLLS},
        {SYS_waitid, GILX_AWAITS_CHILD},    {SYS_wait4, GILX_AWAITS_CHILD},
        {SYS_fsync, GILX_CALLS_SYSTEM},     {SYS_write, GILX_CALLS_SYSTEM},
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); ++i) {
        /* The addresses of other calls mean something else. */
        expect(activity_in(calls[i].call, 0x1000, &gil) == calls[i].activity,
               "calls are of a kind");
    }
}

/* ---- sums ------------------------------------------------------------------------- */

/* Sums are those of all slices, however a slice is divided. */
static void sums_are_right(void) {
    enum { SLICES = 500 };
    uint64_t random = 1;
    gilx_thread_activities does = gilx_no_activities(7);
    expect(does.begun == 7 && does.asked == 7, "it begins when it was found");
    static double share[GILX_ACTIVITIES][SLICES], length[SLICES];
    for (int i = 0; i < SLICES; ++i) {
        const gilx_activity one = gilx_split_mix(&random) % 3 + GILX_AWAITS_GIL;
        length[i] = (double)(gilx_split_mix(&random) % 1000 + 1);
        share[one][i] = (double)(gilx_split_mix(&random) % 3) / 2;
        gilx_activity_add(&does, one, length[i], length[i] * share[one][i]);
        share[GILX_HOLDS_GIL][i] = (double)(gilx_split_mix(&random) % 3) / 2;
        const bool held = share[GILX_HOLDS_GIL][i] > 0;
        if (held || (i > 0 && share[GILX_HOLDS_GIL][i - 1] > 0)) {
            gilx_activity_hold(&does, length[i], share[GILX_HOLDS_GIL][i], i + 1);
        }
    }
    for (int activity = 0; activity < GILX_ACTIVITIES; ++activity) {
        gilx_activity_sums sums = {0};
        for (int i = 0; i < SLICES; ++i) {
            const double x = share[activity][i], square = length[i] * length[i];
            sums.time += length[i] * x;
            sums.squares += square * x * x;
            sums.products += square * x;
            const double step = i > 0 ? x - share[activity][i - 1] : 0;
            sums.steps += square * step * step;
        }
        const gilx_activity_sums *found = &does.sums[activity];
        expect(found->time == sums.time && found->squares == sums.squares &&
                   found->products == sums.products && found->steps == sums.steps,
               "sums are as defined");
    }
    double known = 0, squares = 0;
    for (int i = 0; i < SLICES; ++i) {
        known += length[i];
        squares += length[i] * length[i];
    }
    expect(does.known == known && does.squares == squares, "all slices are known");
}

/* ---- threads ---------------------------------------------------------------------- */

/* A GIL as CPython has it, but for what threads do with it. */
typedef struct {
    gilx_gil_struct words;
    pthread_cond_t condition;
    pthread_mutex_t mutex;
    pthread_cond_t other_condition;
    pthread_mutex_t other_mutex;
    bool over;
} fake_gil;

typedef struct {
    fake_gil *gil;
    pthread_mutex_t *lock; /* is held */
    int pipe, socket;
    pid_t child;
} world;

typedef struct {
    void (*act)(const world *);
    gilx_activity activity;
    const world *world;
    _Atomic int64_t tid;
} actor;

static void await_gil(const world *world) {
    pthread_mutex_lock(&world->gil->mutex);
    while (!world->gil->over) {
        pthread_cond_wait(&world->gil->condition, &world->gil->mutex);
    }
    pthread_mutex_unlock(&world->gil->mutex);
}

static void await_switch(const world *world) {
    pthread_mutex_lock(&world->gil->other_mutex);
    while (!world->gil->over) {
        pthread_cond_wait(&world->gil->other_condition, &world->gil->other_mutex);
    }
    pthread_mutex_unlock(&world->gil->other_mutex);
}

static void await_lock(const world *world) {
    pthread_mutex_lock(world->lock);
    pthread_mutex_unlock(world->lock);
}

static void read_pipe(const world *world) {
    char byte;
    expect(read(world->pipe, &byte, 1) == 0, "the pipe is closed in the end");
}

static void receive(const world *world) {
    char byte;
    expect(recv(world->socket, &byte, 1, 0) == 0, "so is the socket");
}

static void poll_pipe(const world *world) {
    struct pollfd one = {.fd = world->pipe, .events = POLLIN};
    expect(poll(&one, 1, -1) == 1, "something happens in the end");
}

static void await_child(const world *world) {
    siginfo_t info;
    expect(waitid(P_PID, (id_t)world->child, &info, WEXITED) == 0, "the child ends");
}

static void *run_actor(void *argument) {
    actor *one = argument;
    atomic_store(&one->tid, gilx_own_tid());
    one->act(one->world);
    return NULL;
}

/* Wait until Linux says that a thread does something else than run. */
static void await_begin(actor *one) {
    char text[GILX_SYSCALL_SIZE];
    int file;
    while (atomic_load(&one->tid) == 0) {
        gilx_sleep_ns(1000 * 1000);
    }
    expect((file = gilx_syscall_open(0, one->tid)) >= 0, "its file can be opened");
    const gilx_lock_place none = {0, 0};
    gilx_activity activity;
    do {
        gilx_sleep_ns(100 * 1000);
        expect(gilx_syscall_read(file, text), "and read");
        activity = gilx_activity_of(text, &none);
    } while (activity == GILX_ON_CPU ||
             (activity == GILX_AWAITS_LOCK) != (one->activity <= GILX_AWAITS_LOCK));
    close(file);
}

static int open_files(void) {
    int count = 0;
    for (int i = 0; i < 4096; ++i) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

/* Threads that do one thing all the time are found to do that, and nothing else. */
static void known_activities_are_found(int waiting, int others) {
    enum { MOST = 300 };
    static void (*const acts[])(const world *) = {await_lock, read_pipe,   receive,
                                                  poll_pipe,  await_child, await_switch};
    static const gilx_activity activities[] = {GILX_AWAITS_LOCK,  GILX_READS,
                                               GILX_READS,        GILX_POLLS,
                                               GILX_AWAITS_CHILD, GILX_AWAITS_GIL};
    enum { KINDS = sizeof(acts) / sizeof(*acts) };
    static actor actors[MOST];
    static pthread_t threads[MOST];
    const gilx_condition_layout layout = gilx_condition_certify();
    fake_gil gil = {.words = {.interval = 5000}, .over = false};
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&gil.condition, &monotonic);
    pthread_cond_init(&gil.other_condition, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&gil.mutex, NULL);
    pthread_mutex_init(&gil.other_mutex, NULL);
    pthread_mutex_lock(&lock);
    int ends[2], sockets[2];
    expect(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0,
           "there are pipes");
    (void)fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        close(sockets[1]);
        _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1); /* until the pipe is closed */
    }
    const world world = {&gil, &lock, ends[0], sockets[0], child};
    for (int i = 0; i < waiting + others; ++i) {
        const int kind = (i - waiting) % KINDS;
        const bool waits = i < waiting;
        actors[i].world = &world;
        actors[i].act = waits ? await_gil : acts[kind];
        actors[i].activity = waits ? GILX_AWAITS_GIL : activities[kind];
        if (!waits && kind == 4 && i != waiting + 4) { /* there is one child only */
            actors[i].act = await_lock;
            actors[i].activity = GILX_AWAITS_LOCK;
        }
        atomic_store(&actors[i].tid, 0);
        expect(pthread_create(&threads[i], NULL, run_actor, &actors[i]) == 0,
               "threads can be made");
    }
    if (layout.calls) {
        for (int i = 0; i < waiting + others; ++i) {
            await_begin(&actors[i]);
        }
    }
    const gilx_gil_words words = {.interval = &gil.words.interval,
                                  .locked = &gil.words.locked,
                                  .holder = &gil.words.holder,
                                  .switches = &gil.words.switches};
    const gilx_sampler_options options = {
        .watched = gilx_own_tid(),
        .cost = 0.5,
        .seed = 1,
        .capacity = 1024,
        .lock_known = true,
    };
    const int files = open_files();
    gilx_sampler *sampler = gilx_sampler_new(&words, &options, NULL);
    expect(sampler != NULL && gilx_sampler_start(sampler) == 0, "it starts");
    gilx_sampler_begin(sampler);
    await_samples_for(sampler, 50 * 1000 * 1000);
    gilx_sampler_end(sampler);
    gilx_sampler_stop(sampler);
    expect(open_files() == files, "no files stay open");

    const gilx_totals *totals = gilx_sampler_totals(sampler);
    expect(totals->calls == layout.calls && totals->addresses == layout.addresses,
           "it can be as it is here");
    expect(totals->waiters.y == (layout.count < 0 ? 0 : totals->counted) &&
               totals->waiters.x == totals->waiters.y * waiting,
           "the number of waiting threads is right in all samples");
    const gilx_watched_thread *found;
    const int count = gilx_sampler_threads(sampler, &found);
    int64_t reads = 0;
    for (int i = 0; i < count; ++i) {
        const gilx_thread_activities *does = &found[i].does;
        reads += does->reads;
        for (int j = 0; j < waiting + others; ++j) {
            if (atomic_load(&actors[j].tid) == found[i].tid && layout.addresses) {
                expect(does->sums[actors[j].activity].time == does->known,
                       "it did that all the time");
                expect(does->known <= does->alive_until - does->begun,
                       "in which it was there");
            }
        }
    }
    expect(reads == totals->asked && reads <= totals->askable, "threads were asked");
    expect((reads > 0) == layout.calls, "if that can be done");
    for (int64_t i = 0; i < gilx_sampler_sample_count(sampler); ++i) {
        const gilx_sample *sample = gilx_sampler_sample(sampler, i);
        for (int j = 0; j < sample->deeds; ++j) {
            const int64_t tid = found[sample->did[j].place].tid;
            for (int k = 0; k < waiting + others; ++k) {
                expect(!layout.addresses || atomic_load(&actors[k].tid) != tid ||
                           sample->did[j].activity == actors[k].activity,
                       "the samples have that, too");
            }
        }
    }
    gilx_sampler_free(sampler);

    pthread_mutex_lock(&gil.mutex);
    pthread_mutex_lock(&gil.other_mutex);
    gil.over = true;
    pthread_cond_broadcast(&gil.condition);
    pthread_cond_broadcast(&gil.other_condition);
    pthread_mutex_unlock(&gil.other_mutex);
    pthread_mutex_unlock(&gil.mutex);
    pthread_mutex_unlock(&lock);
    close(ends[1]);
    close(sockets[1]);
    for (int i = 0; i < waiting + others; ++i) {
        pthread_join(threads[i], NULL);
    }
    if (others <= 4) {
        expect(waitpid(child, NULL, 0) == child, "the child ends");
    }
    close(ends[0]);
    close(sockets[0]);
}

static void conditions_are_certified(void) {
    const gilx_condition_layout layout = gilx_condition_certify();
    const gilx_condition_layout again = gilx_condition_certify();
    expect(layout.count == again.count && layout.flags == again.flags &&
               layout.calls == again.calls && layout.addresses == again.addresses,
           "it is known once");
#ifdef __GLIBC__
    expect(layout.count >= 0, "glibc counts");
    expect(layout.addresses || !layout.calls, "at addresses in the condition variable");
#endif
    (void)printf("here: calls %d, addresses %d, count at %d\n", layout.calls,
                 layout.addresses, layout.count);
    const gilx_condition_layout unknown = {.count = -1};
    pthread_cond_t realtime = PTHREAD_COND_INITIALIZER;
    expect(gilx_condition_count(&unknown, &realtime) == NULL, "unknown stays unknown");
    expect(gilx_condition_count(&layout, NULL) == NULL, "nothing has no place");
#ifdef __GLIBC__
    expect(gilx_condition_count(&layout, &realtime) == NULL, "its flags are others");
#endif
    pthread_cond_destroy(&realtime);
}

/* ---- places ----------------------------------------------------------------------- */

/* Waits count for the innermost line of Python code. */
static void waits_have_places(uint64_t minor) {
    enum { DEPTH = 2, TIMES = 100, GIL = 0, LOCK = 1 };
    static fake_stack stack;
    const gilx_stack_layout *layout =
        gilx_stack_layout_of(gilx_layout_of(0x030000f0 | minor << 16), false);
    fake_stack_make(&stack, layout, 0);
    const uintptr_t state = (uintptr_t)stack.state;
    gilx_gil_struct gil = {.interval = 5000};
    const gilx_gil_words words = {.interval = &gil.interval,
                                  .locked = &gil.locked,
                                  .holder = &gil.holder,
                                  .switches = &gil.switches};
    gilx_memory memory;
    gilx_sites *sites =
        gilx_sites_new(&words, layout, (uintptr_t)fake_code_type, NULL, false);
    expect(sites != NULL && gilx_memory_open(&memory, NULL), "sites can be read");
    gilx_frame frame;
    expect(!gilx_waiting_frame(layout, &memory, state, &frame),
           "a thread without frames");
    expect(!gilx_waiting_frame(layout, &memory, 8, &frame) &&
               !gilx_waiting_frame(layout, &memory, 0, &frame),
           "nor a thread state");
    double time[FAKE_FUNCTIONS][2] = {{0}}, squares[FAKE_FUNCTIONS][2] = {{0}};
    double unknown = 0;
    uint64_t random = minor;
    for (int i = 0; i < TIMES; ++i) {
        const int function = (int)(gilx_split_mix(&random) % FAKE_FUNCTIONS);
        const int kind = gilx_split_mix(&random) % 2 == 0 ? GIL : LOCK;
        const double weight = (double)(gilx_split_mix(&random) % 1000 + 1);
        fake_call(&stack, 0, 1, 0);
        fake_call(&stack, function, 0, (uintptr_t)i);
        expect(gilx_waiting_frame(layout, &memory, state, &frame) &&
                   frame.code == (uintptr_t)stack.functions[function].code,
               "the innermost frame is read");
        const int site = gilx_sites_of_wait(sites, &memory, state);
        gilx_sites_wait(sites, site, kind == GIL, weight);
        time[function][kind] += weight;
        squares[function][kind] += weight * weight;
        for (int depth = 0; depth < DEPTH; ++depth) {
            fake_return(&stack);
        }
        const uintptr_t gone = i % 2 == 0 ? state : 0;
        gilx_sites_wait(sites, gilx_sites_of_wait(sites, &memory, gone), true, 1);
        unknown += 1;
    }
    for (int i = 0; i < gilx_sites_number(sites); ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        (void)gilx_sites_site(sites, i, &kind, &spot, &function);
        const gilx_waits *waits = gilx_sites_waits(sites, i);
        if (kind == GILX_SITE_UNKNOWN) {
            expect(waits->time[GIL] == unknown && waits->time[LOCK] == 0,
                   "what has no place is counted");
        } else if (function == NULL) {
            expect(waits->samples == 0, "there are no other kinds");
        } else {
            const int number = function->first_line / 100;
            for (int each = GIL; each <= LOCK; ++each) {
                expect(waits->time[each] == time[number][each] &&
                           waits->squares[each] == squares[number][each],
                       "each line has its waits");
            }
        }
    }
    gilx_sites_free(sites);
    gilx_memory_close(&memory);
}

/* ---- ready to run ----------------------------------------------------------------- */

static void waits_for_a_cpu_are_shown_once(void) {
    enum { SLICES = 100, SLICE = 1000 };
    for (int waits = 0; waits <= 10; ++waits) { /* tenths of each slice */
        gilx_thread_activities does = gilx_no_activities(0);
        expect(gilx_activity_ready(&does, SLICE) == GILX_DOES_UNKNOWN,
               "without the scheduler's clock nothing is known");
        does.wait_first_ns = does.wait_last_ns = 5000;
        int off = 0;
        for (int i = 0; i < SLICES; ++i) {
            does.wait_last_ns += waits * SLICE / 10;
            off += gilx_activity_ready(&does, SLICE) == GILX_OFF_CPU;
        }
        expect(abs(off - waits * SLICES / 10) <= 1, "all waits are shown, and no more");
    }
    gilx_thread_activities does = gilx_no_activities(0);
    does.wait_first_ns = 0;
    does.wait_last_ns = SLICE;
    gilx_activity_held_ready(&does, SLICE);
    expect(gilx_activity_ready(&does, SLICE) == GILX_ON_CPU,
           "a wait in a hold is not shown after it");
}

int main(void) {
    for (uint64_t minor = 11; minor <= 15; ++minor) {
        waits_have_places(minor);
    }
    texts_are_understood();
    sums_are_right();
    waits_for_a_cpu_are_shown_once();
    conditions_are_certified();
    known_activities_are_found(0, 1);
    known_activities_are_found(1, 0);
    known_activities_are_found(6, 6);
    known_activities_are_found(30, 270);
    puts("thread_activity_driver: fine");
    return 0;
}
