/* Runs teams and counters hard, for the thread sanitizer: regions of all sizes, counters
 * that are claimed from and cancelled, teams that sleep, fork, start and end. Exit status
 * 0 if every item was done exactly once. */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include "../platform/clock.h"
#include "../team/counter.h"
#include "../team/team.h"

enum { ITEMS = 1000 };

typedef struct {
    gilx_counter counter;
    int done[ITEMS]; /* plain: an item that two workers do is a race */
    atomic_int workers;
} job;

static void fail(const char *what) {
    fprintf(stderr, "team_driver: %s\n", what);
    exit(1);
}

static void do_items(void *context, int worker) {
    job *it = context;
    int64_t start, stop;
    (void)worker;
    atomic_fetch_add(&it->workers, 1);
    while (gilx_counter_take(&it->counter, &start, &stop)) {
        for (int64_t i = start; i < stop; ++i) {
            ++it->done[i];
        }
    }
}

static void region(gilx_team *team, int workers, int64_t grain) {
    job it;
    memset(&it, 0, sizeof it);
    gilx_counter_init(&it.counter, 0, ITEMS, grain);
    if (gilx_team_run(team, do_items, &it, NULL) != 0) {
        fail("a region was refused");
    }
    for (int i = 0; i < ITEMS; ++i) {
        if (it.done[i] != 1) {
            fail("an item was not done once");
        }
    }
    if (atomic_load(&it.workers) != workers) {
        fail("a worker did not come");
    }
}

static gilx_team *start(int workers, int64_t spin_ns) {
    int error;
    gilx_team *team = gilx_team_start(workers, spin_ns, &error);
    if (team == NULL) {
        fail(strerror(error));
    }
    return team;
}

static void fork_and_run(void) {
    /* Neither the thread sanitizer nor an emulator can follow such threads. */
#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__) && !defined(GILX_EMULATED)
    gilx_team *team = start(3, 1000);
    region(team, 3, 5);
    const pid_t child = fork();
    if (child == 0) {
        region(team, 3, 5);
        gilx_team_free(team);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    region(team, 3, 5);
    gilx_team_free(team);
    if (status != 0) {
        fail("a child could not run a region");
    }
#endif
}

int main(void) {
    const int64_t spins[] = {0, 1000, 200000};
    for (int workers = 1; workers <= 9; workers += 2) {
        for (size_t s = 0; s < sizeof spins / sizeof *spins; ++s) {
            gilx_team *team = start(workers, spins[s]);
            for (int i = 0; i < 200; ++i) {
                region(team, workers, 1 + i % 7);
                if (i % 50 == 0) {
                    gilx_team_settle(team);
                } else if (i % 10 == 0) {
                    gilx_sleep_ns(spins[s]);
                }
            }
            gilx_team_free(team);
        }
    }
    for (int i = 0; i < 200; ++i) {
        gilx_team_free(start(1 + i % 5, 1000));
    }
    fork_and_run();
    puts("teams and counters: fine");
    return 0;
}
