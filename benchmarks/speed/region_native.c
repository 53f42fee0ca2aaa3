/* What an empty region of two workers costs in C: gilx's native team and OpenMP's, both
 * awake; the team asleep, and two bare hand-overs through a condition variable, there and
 * back, as the least that waking a thread costs. Built and run by region.py.
 *
 * Prints a line a round: nanoseconds for each, in that order. Who spins is let fall
 * asleep before another is timed. */
#define _GNU_SOURCE

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../../csrc/platform/clock.h"
#include "../../csrc/team/team.h"

enum { ARMS = 4, HOT_REGIONS = 2000, COLD_REGIONS = 60 };

static const int64_t SPIN_NS = 200000, LET_SLEEP_NS = 3000000, NAP_NS = 300000;

static void nothing(void *context, int worker) {
    (void)context;
    (void)worker;
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *times, int count) {
    qsort(times, (size_t)count, sizeof *times, compare);
    return times[count / 2];
}

/* ---- the four --------------------------------------------------------------------- */

static gilx_team *spinning, *sleeping;

static void team_region(void) {
    gilx_team_run(spinning, nothing, NULL, NULL);
}

static void openmp_region(void) {
#pragma omp parallel num_threads(2)
    {
        __asm__ volatile("" ::: "memory");
    }
}

static void sleeping_region(void) {
    gilx_team_run(sleeping, nothing, NULL, NULL);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int ball; /* 0: with the caller, 1: with the other, -1: the game is over */

static void *play(void *unused) {
    pthread_mutex_lock(&mutex);
    while (ball >= 0) {
        if (ball == 1) {
            ball = 0;
            pthread_cond_signal(&changed);
        } else {
            pthread_cond_wait(&changed, &mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
    return unused;
}

static void there_and_back(void) {
    pthread_mutex_lock(&mutex);
    ball = 1;
    pthread_cond_signal(&changed);
    while (ball == 1) {
        pthread_cond_wait(&changed, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

static int64_t time_arm(void (*region)(void), bool cold) {
    static int64_t times[HOT_REGIONS];
    const int count = cold ? COLD_REGIONS : HOT_REGIONS;
    for (int i = 0; i < count; ++i) {
        if (cold) {
            gilx_sleep_ns(NAP_NS);
        }
        const int64_t begin = gilx_now_ns();
        region();
        times[i] = gilx_now_ns() - begin;
    }
    return median(times, count);
}

int main(int count, char **words) {
    const int rounds = count > 1 ? atoi(words[1]) : 15;
    void (*const arms[ARMS])(void) = {team_region, openmp_region, sleeping_region,
                                      there_and_back};
    int error;
    spinning = gilx_team_start(2, SPIN_NS, &error);
    sleeping = gilx_team_start(2, 0, &error);
    pthread_t other;
    if (spinning == NULL || sleeping == NULL ||
        pthread_create(&other, NULL, play, NULL) != 0) {
        return 1;
    }
    srand(1);
    for (int round = -1; round < rounds; ++round) {
        int order[ARMS] = {0, 1, 2, 3};
        int64_t found[ARMS];
        for (int i = ARMS - 1; i > 0; --i) {
            const int j = rand() % (i + 1), held = order[i];
            order[i] = order[j];
            order[j] = held;
        }
        for (int i = 0; i < ARMS; ++i) {
            const int arm = order[i];
            gilx_sleep_ns(LET_SLEEP_NS);
            found[arm] = time_arm(arms[arm], arm >= 2);
        }
        if (round >= 0) {
            for (int arm = 0; arm < ARMS; ++arm) {
                printf("%lld ", (long long)found[arm]);
            }
            printf("\n");
        }
    }
    pthread_mutex_lock(&mutex);
    ball = -1;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
    pthread_join(other, NULL);
    gilx_team_free(spinning);
    gilx_team_free(sleeping);
    return 0;
}
