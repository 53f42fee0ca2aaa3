/* Activity of a thread, by the system call that Linux says it is in, and the time that it
 * spent in each activity.
 */
#ifndef GILX_SAMPLER_THREAD_ACTIVITY_H
#define GILX_SAMPLER_THREAD_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    GILX_HOLDS_GIL,
    GILX_AWAITS_GIL,
    GILX_AWAITS_LOCK, /* of another kind */
    GILX_SLEEPS,
    GILX_READS,        /* or receives, or accepts */
    GILX_POLLS,        /* for any of several files */
    GILX_AWAITS_CHILD, /* the end of a process */
    GILX_CALLS_SYSTEM, /* for something else */
    GILX_ON_CPU,       /* without the GIL */
    GILX_OFF_CPU,      /* the same, but its CPU clock stood: see gilx_thread_activities */
    GILX_DOES_UNKNOWN,
    /* Without a GIL, GILX_ON_CPU is attached to the interpreter, whether on a CPU or
     * not. */
    GILX_DETACHED, /* ready to run, and not attached */
    GILX_SPINS,    /* ready to run, and waiting for the lock of an object */
    GILX_STOPPED,  /* waiting until all threads have stopped, or may go on */
    GILX_ACTIVITIES,
} gilx_activity;

/* Addresses that belong to the lock of a GIL; none if it ends where it begins. */
typedef struct {
    uintptr_t begin, end;
} gilx_lock_place;

/* Return what a thread does by a text of proc_pid_syscall(5). A running thread is
 * GILX_ON_CPU here. */
gilx_activity gilx_activity_of(const char *text, const gilx_lock_place *gil);

/* Sums over slices of time for the share of an activity, as for gilx_ratio with y = 1. */
typedef struct {
    double time;     /* sum of w x, */
    double squares;  /* of w^2 x^2, */
    double products; /* of w^2 x, */
    double steps;    /* and of w^2 times the squared steps of x from slice to slice */
} gilx_activity_sums;

/* Kinds of a thread's time without a GIL. The first ones are parts of its CPU time, the
 * others of the time in which it neither ran nor waited for a CPU. */
typedef enum {
    GILX_CLOCKED_ATTACHED,
    GILX_CLOCKED_DETACHED,
    GILX_CLOCKED_SPINNING, /* on the lock of an object */
    GILX_CLOCKED_PARKED,   /* waiting for a lock */
    GILX_CLOCKED_STOPPED,  /* until all threads have stopped, or may go on */
    GILX_CLOCKED_CALLING,  /* in another system call */
    GILX_CLOCKED_KINDS,
} gilx_clocked_kind;

/* Times of these kinds, which never decrease. The clocks' time goes as a whole to the
 * activity that the next sample finds for it. */
typedef struct {
    double time[GILX_CLOCKED_KINDS], squares[GILX_CLOCKED_KINDS]; /* of each piece */
    double ran, rested; /* CPU time and other time that has no kind yet */
} gilx_clocked_times;

/* Activities of one thread. Each sample shows whether the thread holds the GIL. It is
 * asked for other activities now and then: an answer stands for the time since the last
 * one, less the time for which the thread held the GIL. Durations are in ns.
 *
 * Linux says of a thread whether it could run, not whether it has a CPU. A thread whose
 * CPU clock stands had no CPU when it was asked, perhaps because the sampler ran on it.
 * For how long it really waited for a CPU is known from the scheduler's clock, for all
 * time from the first such sample on, holds included. */
typedef struct {
    gilx_activity_sums sums[GILX_ACTIVITIES];
    double known, squares; /* sum of the slices for activities other than holding, and of
                              their squares */
    double begun;          /* counted time when it was found; see gilx_totals */
    double alive_until;    /* when it was last there; 0: see `asked` */
    double asked;          /* until when all is known, */
    double asked_held;     /* and for how long it had held by then */
    double held_off_cpu;   /* holding, its CPU clock stood */
    int64_t reads;         /* how often it was asked */
    double unplaced[2];    /* time of waits for the GIL, and for other locks, whose site
                              has not been read yet */
    int64_t asked_cpu_ns;  /* its CPU clock when it was last asked, */
    int64_t
        placed_cpu_ns; /* and when it was found at a site where it waited; -1: never */
    int placed;        /* and that site */
    int64_t wait_first_ns,
        wait_last_ns;   /* the scheduler's clock; -1 if it was not read */
    double placed_wait; /* part of that wait that samples have shown, or holds had */
    int64_t clock_first_ns, clock_last_ns; /* when the clocks were read, without a GIL, */
    int64_t cpu_first_ns, cpu_last_ns;     /* its CPU clock then; 0 if it was not, */
    int64_t waited_ns;                     /* and wait_last_ns at the last time */
    double ready;                          /* time in which it could run, by samples */
    double without_cpu, without_cpu_squares; /* the part of it without a CPU, the sum of
                                                the squares of its slices, */
    gilx_activity_sums spun_without_cpu; /* and of that part, at the lock of an object: a
                                            thread that spins yields its CPU */
    bool spun_last;                      /* whether the last of these slices was such */
    gilx_clocked_times clocked;          /* since the clocks were read first */
    double asked_stops, asked_squares;   /* for how long it had asked for a stop, */
    double late, late_squares;           /* and how long a stop waited for it */
    int64_t running, standing; /* samples in which its CPU clock ran, or stood although
                                  it could have run */
    int stateless;             /* listings in a row without a state of this thread */
    gilx_activity last;
    double last_share;
    double held_share;   /* held in the sample that was last added, */
    int64_t held_sample; /* and the number of that sample */
} gilx_thread_activities;

/* Activities of a thread that was found when so much time had been counted. */
gilx_thread_activities gilx_no_activities(double counted);

/* Add a slice of `whole` ns, of which the thread spent a `part` in an activity. */
void gilx_activity_add(gilx_thread_activities *activities, gilx_activity activity,
                       double whole, double part);

/* Add the times that the clocks show since the last sample, which found an activity. */
void gilx_clocked_add(gilx_clocked_times *times, gilx_activity activity, double ran,
                      double rested);

/* Add the sums of another thread. */
void gilx_activities_join(gilx_thread_activities *activities,
                          const gilx_thread_activities *other);

/* Add a sample, by its number, in which the thread held for a share of the time. Add each
 * sample in which it held, and the one after that, even if it did not hold there. */
void gilx_activity_hold(gilx_thread_activities *activities, double weight, double share,
                        int64_t number);

/* Return what a sample shows of a slice of `spent` ns in which a thread of another
 * process was ready to run: GILX_OFF_CPU until such slices add up to the wait that the
 * scheduler's clock shows, and GILX_ON_CPU then. Without that clock it is
 * GILX_DOES_UNKNOWN. */
gilx_activity gilx_activity_ready(gilx_thread_activities *activities, double spent);

/* Count the wait that the scheduler's clock shows as part of a slice of `whole` ns, in
 * which the thread held, as far as it fits into the slice. */
void gilx_activity_held_ready(gilx_thread_activities *activities, double whole);

#endif
