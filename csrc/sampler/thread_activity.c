#define _DEFAULT_SOURCE /* for the numbers of system calls */

#include "thread_activity.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

/* Return what the system call with a number waits for; futexes are not among these. Which
 * calls there are depends on the machine. */
static gilx_activity activity_in(long call) {
    switch (call) {
#ifdef SYS_nanosleep
    case SYS_nanosleep:
#endif
#ifdef SYS_clock_nanosleep
    case SYS_clock_nanosleep:
#endif
#ifdef SYS_clock_nanosleep_time64
    case SYS_clock_nanosleep_time64:
#endif
        return GILX_SLEEPS;
    case SYS_read:
    case SYS_readv:
    case SYS_pread64:
#ifdef SYS_preadv
    case SYS_preadv:
#endif
#ifdef SYS_preadv2
    case SYS_preadv2:
#endif
#ifdef SYS_recvfrom
    case SYS_recvfrom:
    case SYS_recvmsg:
#endif
#ifdef SYS_recvmmsg
    case SYS_recvmmsg:
#endif
#ifdef SYS_accept
    case SYS_accept:
#endif
#ifdef SYS_accept4
    case SYS_accept4:
#endif
        return GILX_READS;
#ifdef SYS_poll
    case SYS_poll:
#endif
#ifdef SYS_ppoll
    case SYS_ppoll:
#endif
#ifdef SYS_ppoll_time64
    case SYS_ppoll_time64:
#endif
#ifdef SYS_select
    case SYS_select:
#endif
#ifdef SYS_pselect6
    case SYS_pselect6:
#endif
#ifdef SYS_pselect6_time64
    case SYS_pselect6_time64:
#endif
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
#ifdef SYS_epoll_pwait
    case SYS_epoll_pwait:
#endif
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
#endif
        return GILX_POLLS;
#ifdef SYS_wait4
    case SYS_wait4:
#endif
    case SYS_waitid:
        return GILX_AWAITS_CHILD;
    default:
        return GILX_CALLS_SYSTEM;
    }
}

static bool is_futex(long call) {
    switch (call) {
#ifdef SYS_futex
    case SYS_futex:
#endif
#ifdef SYS_futex_time64
    case SYS_futex_time64:
#endif
#ifdef SYS_futex_wait
    case SYS_futex_wait:
#endif
        return true;
    default:
        return false;
    }
}

gilx_activity gilx_activity_of(const char *text, const gilx_lock_place *gil) {
    static const char RUNNING[] = "running";
    if (strncmp(text, RUNNING, sizeof(RUNNING) - 1) == 0) {
        return GILX_ON_CPU;
    }
    char *end;
    const long call = strtol(text, &end, 10);
    if (end == text || *end != ' ') {
        return GILX_DOES_UNKNOWN;
    }
    if (!is_futex(call)) {
        return activity_in(call); /* -1 is in the kernel for another reason */
    }
    const uintptr_t address = (uintptr_t)strtoull(end, NULL, 16);
    return address >= gil->begin && address < gil->end ? GILX_AWAITS_GIL
                                                       : GILX_AWAITS_LOCK;
}

gilx_thread_activities gilx_no_activities(double counted) {
    return (gilx_thread_activities){
        .begun = counted,
        .asked = counted,
        .asked_cpu_ns = -1,
        .placed_cpu_ns = -1,
        .wait_first_ns = -1,
        .wait_last_ns = -1,
        .last = GILX_DOES_UNKNOWN,
        .held_sample = -1,
    };
}

static void add(gilx_activity_sums *sums, double whole, double share) {
    sums->time += whole * share;
    sums->squares += whole * whole * share * share;
    sums->products += whole * whole * share;
}

void gilx_activity_add(gilx_thread_activities *activities, gilx_activity activity,
                       double whole, double part) {
    const double share = whole > 0 ? part / whole : 0, square = whole * whole;
    const gilx_activity last = activities->last;
    const double last_share = activities->last_share;
    gilx_activity_sums *sums = &activities->sums[activity];
    add(sums, whole, share);
    if (activities->known == 0) {
        /* Nothing came before. */
    } else if (last == activity) {
        sums->steps += square * (share - last_share) * (share - last_share);
    } else {
        sums->steps += square * share * share;
        activities->sums[last].steps += square * last_share * last_share;
    }
    activities->known += whole;
    activities->squares += square;
    activities->last = activity;
    activities->last_share = share;
}

void gilx_activity_hold(gilx_thread_activities *activities, double weight, double share,
                        int64_t number) {
    gilx_activity_sums *sums = &activities->sums[GILX_HOLDS_GIL];
    const double last =
        activities->held_sample == number - 1 ? activities->held_share : 0;
    add(sums, weight, share);
    if (number > 1) { /* the first sample has none before */
        sums->steps += weight * weight * (share - last) * (share - last);
    }
    activities->held_share = share;
    activities->held_sample = number;
}

/* Return the kind of an activity; GILX_CLOCKED_KINDS if it has none. */
static gilx_clocked_kind clocked_kind(gilx_activity activity) {
    switch (activity) {
    case GILX_ON_CPU:
    case GILX_OFF_CPU:
        return GILX_CLOCKED_ATTACHED;
    case GILX_DETACHED:
        return GILX_CLOCKED_DETACHED;
    case GILX_SPINS:
        return GILX_CLOCKED_SPINNING;
    case GILX_AWAITS_LOCK:
        return GILX_CLOCKED_PARKED;
    case GILX_STOPPED:
        return GILX_CLOCKED_STOPPED;
    case GILX_SLEEPS:
    case GILX_READS:
    case GILX_POLLS:
    case GILX_AWAITS_CHILD:
    case GILX_CALLS_SYSTEM:
        return GILX_CLOCKED_CALLING;
    default:
        return GILX_CLOCKED_KINDS;
    }
}

void gilx_clocked_add(gilx_clocked_times *times, gilx_activity activity, double ran,
                      double rested) {
    const gilx_clocked_kind kind = clocked_kind(activity);
    times->ran += ran;
    times->rested += rested; /* below 0: a wait for a CPU counts when it has ended */
    double *left = kind <= GILX_CLOCKED_SPINNING ? &times->ran : &times->rested;
    if (kind < GILX_CLOCKED_KINDS && *left > 0) {
        times->time[kind] += *left;
        times->squares[kind] += *left * *left;
        *left = 0;
    }
}

static void join_clocks(gilx_thread_activities *activities,
                        const gilx_thread_activities *other) {
    gilx_clocked_times *clocked = &activities->clocked;
    for (int i = 0; i < GILX_CLOCKED_KINDS; ++i) {
        clocked->time[i] += other->clocked.time[i];
        clocked->squares[i] += other->clocked.squares[i];
    }
    clocked->ran += other->clocked.ran;
    clocked->rested += other->clocked.rested;
    if (other->wait_first_ns >= 0) {
        const int64_t before =
            activities->wait_first_ns < 0 ? 0 : activities->wait_last_ns;
        activities->wait_first_ns = 0;
        activities->wait_last_ns = before + other->wait_last_ns - other->wait_first_ns;
    }
    activities->asked_stops += other->asked_stops;
    activities->asked_squares += other->asked_squares;
    activities->late += other->late;
    activities->late_squares += other->late_squares;
}

void gilx_activities_join(gilx_thread_activities *activities,
                          const gilx_thread_activities *other) {
    for (int i = 0; i < GILX_ACTIVITIES; ++i) {
        gilx_activity_sums *sums = &activities->sums[i];
        sums->time += other->sums[i].time;
        sums->squares += other->sums[i].squares;
        sums->products += other->sums[i].products;
        sums->steps += other->sums[i].steps;
    }
    activities->known += other->known;
    activities->squares += other->squares;
    activities->reads += other->reads;
    join_clocks(activities, other);
}

/* Return the wait for a CPU that is neither shown yet nor part of a hold. */
static double wait_left(const gilx_thread_activities *activities) {
    const int64_t all = activities->wait_last_ns - activities->wait_first_ns;
    return (double)all - activities->placed_wait;
}

gilx_activity gilx_activity_ready(gilx_thread_activities *activities, double spent) {
    if (activities->wait_last_ns < 0) {
        return GILX_DOES_UNKNOWN;
    }
    const double left = wait_left(activities);
    if (left <= 0 || left < spent / 2) {
        return GILX_ON_CPU;
    }
    activities->placed_wait += spent;
    return GILX_OFF_CPU;
}

void gilx_activity_held_ready(gilx_thread_activities *activities, double whole) {
    const double left = wait_left(activities);
    if (left > 0) {
        activities->placed_wait += left < whole ? left : whole;
    }
}
