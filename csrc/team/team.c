#define _GNU_SOURCE /* for syscall() in waits.h, and for cpus.h */

#include "team.h"

#include <errno.h>
#include <stdlib.h>

#include "../platform/clock.h"
#include "../platform/cpus.h"
#include "../platform/forks.h"
#include "../platform/aligned_memory.h"
#include "../platform/waits.h"
#include "../platform/threads.h"
#include "counter.h"

/* Words that different threads write lie on different cache lines, apart even from the
 * line that the processor fetches along with it. */
#define APART _Alignas(2 * GILX_CACHE_LINE)

enum {
    POLL_NS = 20 * 1000 * 1000,
    PAUSES = 32,
    /* Several times the length of a region whose workers are awake, each on its CPU. */
    SOON_NS = 2000,
    /* Longer than a CPU takes to wake, even one that a host has to wake. */
    MOVE_NS = 1000 * 1000
};

typedef struct {
    gilx_team *team;
    int worker;
    gilx_thread thread;
} member;

struct gilx_team {
    /* Written by the caller before a region, read by all. */
    APART _Atomic uint32_t turn; /* the region's number: a new one starts it */
    _Atomic int caller_cpu;      /* where the caller began the region */
    gilx_work *work;             /* NULL: the team ends */
    void *context;
    int64_t spin_ns;
    int workers;
    unsigned forks; /* gilx_forks() when the threads started */
    member *members;
    /* Written by workers as they fall asleep and wake up. */
    APART _Atomic uint32_t parked;
    _Atomic uint32_t moving; /* how many are on their way to another CPU */
    /* Counted down by workers as they finish. */
    APART _Atomic uint32_t running;
    _Atomic uint32_t caller_sleeps;
};

/* Spin until the word is 0 (`until_zero`) or has another value than `known`; false if the
 * time is over. The clock is read only now and then. */
static bool spin_while(_Atomic uint32_t *word, uint32_t known, bool until_zero,
                       int64_t spin_ns) {
    int64_t deadline = 0;
    for (;;) {
        for (int i = 0; i < PAUSES; ++i) {
            uint32_t now = atomic_load_explicit(word, memory_order_acquire);
            if (until_zero ? now == 0 : now != known) {
                return true;
            }
            gilx_relax();
        }
        const int64_t now_ns = gilx_now_ns();
        if (deadline == 0) {
            deadline = now_ns + spin_ns;
        }
        if (now_ns >= deadline) {
            return false;
        }
    }
}

/* Leave the caller's CPU to the caller, if the worker finds itself on it.
 *
 * Linux likes to put a thread that wakes beside the thread that woke it, even if another
 * CPU is free, and to let a spinning thread go on: then the two wait out each other's
 * spinning in every region, and swap CPUs indefinitely. So a worker that waits lets other
 * threads have the CPU once before it spins for long; if it then finds itself on the
 * caller's CPU, it moves to another, for which the caller waits awake. Once apart they
 * stay apart. */
static void make_way(gilx_team *team) {
    const int cpu = team->spin_ns > 0 ? gilx_cpu() : -1;
    if (cpu >= 0 &&
        cpu == atomic_load_explicit(&team->caller_cpu, memory_order_relaxed)) {
        atomic_fetch_add(&team->moving, 1);
        gilx_leave_cpu(cpu);
        atomic_fetch_sub(&team->moving, 1);
    }
}

static void member_main(void *argument) {
    const member *self = argument;
    gilx_team *team = self->team;
    uint32_t known = 0;
    for (;;) {
        while (!spin_while(&team->turn, known, false, team->spin_ns)) {
            /* Count it before the last check of the turn: the caller changes the turn
             * before it checks for sleepers, so one of the two notices the other. */
            atomic_fetch_add(&team->parked, 1);
            while (atomic_load(&team->turn) == known) {
                gilx_park(&team->turn, known, -1);
            }
            atomic_fetch_sub(&team->parked, 1);
        }
        ++known;
        if (team->work == NULL) {
            return;
        }
        make_way(team);
        team->work(team->context, self->worker);
        if (atomic_fetch_sub(&team->running, 1) == 1 &&
            atomic_load(&team->caller_sleeps) != 0) {
            gilx_unpark(&team->running);
            gilx_yield();
        }
    }
}

/* Start a region on the threads. */
static void begin(gilx_team *team, gilx_work *work, void *context) {
    team->work = work;
    team->context = context;
    atomic_store_explicit(&team->caller_cpu, gilx_cpu(), memory_order_relaxed);
    atomic_store(&team->running, (uint32_t)(team->workers - 1));
    atomic_fetch_add(&team->turn, 1);
    if (atomic_load(&team->parked) != 0) {
        gilx_unpark(&team->turn);
    }
}

static void end_threads(gilx_team *team, int started) {
    begin(team, NULL, NULL);
    for (int i = 0; i < started; ++i) {
        gilx_thread_join(&team->members[i].thread);
    }
}

/* Start all threads but the caller's; 0 or an errno value, and then none runs. */
static int start_threads(gilx_team *team) {
    atomic_store(&team->turn, 0);
    atomic_store(&team->parked, 0);
    atomic_store(&team->moving, 0);
    atomic_store(&team->caller_sleeps, 0);
    team->forks = gilx_forks();
    int error = 0;
    for (int i = 0; i < team->workers - 1 && error == 0; ++i) {
        member *one = &team->members[i];
        *one = (member){.team = team, .worker = i + 1};
        error = gilx_thread_start(&one->thread, member_main, one);
        if (error != 0) {
            end_threads(team, i);
        }
    }
    return error;
}

gilx_team *gilx_team_start(int workers, int64_t spin_ns, int *error) {
    gilx_team *team = gilx_allocate_aligned(2 * (size_t)GILX_CACHE_LINE, sizeof *team);
    member *members = calloc((size_t)workers, sizeof *members);
    *error = ENOMEM;
    if (team != NULL && members != NULL) {
        *team = (gilx_team){.workers = workers, .spin_ns = spin_ns, .members = members};
        *error = start_threads(team);
    }
    if (*error != 0) {
        free(members);
        gilx_free_aligned(team);
        return NULL;
    }
    return team;
}

/* Wait for the others without sleeping; false if they take too long for that. */
static bool wait_awake(gilx_team *team) {
    if (team->spin_ns > SOON_NS) {
        if (spin_while(&team->running, 0, true, SOON_NS)) {
            return true;
        }
        gilx_yield(); /* one of them may sit on this CPU */
    }
    if (spin_while(&team->running, 0, true, team->spin_ns)) {
        return true;
    }
    /* A worker that sleeps now would be woken on the CPU that the other one has just
     * left. */
    return atomic_load(&team->moving) != 0 &&
           spin_while(&team->running, 0, true, MOVE_NS);
}

int gilx_team_run(gilx_team *team, gilx_work *work, void *context,
                  gilx_control *control) {
    if (team->forks != gilx_forks()) {
        int error = start_threads(team);
        if (error != 0) {
            --team->forks; /* so that the next region tries again */
            return error;
        }
    }
    if (team->workers == 1) {
        work(context, 0);
        return 0;
    }
    begin(team, work, context);
    work(context, 0);
    if (!wait_awake(team)) {
        atomic_store(&team->caller_sleeps, 1);
        uint32_t left;
        while ((left = atomic_load(&team->running)) != 0) {
            gilx_park(&team->running, left, POLL_NS);
            if (control != NULL) {
                (void)gilx_should_stop(control); /* the tick stops the others itself */
            }
            if (team->forks != gilx_forks()) {
                return ECANCELED; /* the tick forked, and in the child no other worker
                                     goes on */
            }
        }
        atomic_store(&team->caller_sleeps, 0);
    }
    return 0;
}

void gilx_team_settle(gilx_team *team) {
    if (team->forks != gilx_forks()) {
        return;
    }
    while (atomic_load(&team->parked) != (uint32_t)(team->workers - 1)) {
        gilx_sleep_ns(10000);
    }
}

void gilx_team_free(gilx_team *team) {
    if (team->forks == gilx_forks()) {
        end_threads(team, team->workers - 1);
    }
    free(team->members);
    gilx_free_aligned(team);
}
