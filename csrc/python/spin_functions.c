#include "spin_functions.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "../platform/clock.h"
#include "../platform/forks.h"
#include "../platform/random.h"
#include "integer_argument.h"
#include "signals.h"

static int64_t least_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- spin ------------------------------------------------------------------------- */

const char gilx_spin_doc[] =
    "spin($module, hold_ns, release_ns, total_ns, *, rhythm='fixed', released='spin', "
    "seed=0)\n--\n\n"
    "Hold and release the GIL in a known rhythm, and return what was really done.\n\n"
    "The known truth that the GIL watch is certified against. Taking the GIL and giving\n"
    "it back cost some 150 ns a cycle that belong to neither side, so the truth is a\n"
    "band: held_min_ns is what was surely held, held_max_ns adds the cost of taking and\n"
    "giving back (and any wait for other threads, which is also in waited_ns).\n\n"
    "Parameters\n----------\n"
    "hold_ns, release_ns : int, 0 to 10**18\n"
    "    Length of the held and the released part of a cycle, in nanoseconds; their\n"
    "    means if the rhythm is exponential. At least one is above 0; with release_ns 0\n"
    "    the GIL is never released.\n"
    "total_ns : int, 0 to 10**18\n"
    "    How long to go on, in nanoseconds of wall time.\n"
    "rhythm : 'fixed' or 'exponential'\n"
    "    All cycles alike, or each part drawn from an exponential distribution.\n"
    "released : 'spin' or 'sleep'\n"
    "    What to do in the released part.\n"
    "seed : int, 0 to 2**63 - 1\n"
    "    Seed of the exponential rhythm (SplitMix64: Steele, Lea and Flood, Fast\n"
    "    Splittable Pseudorandom Number Generators, OOPSLA 2014).\n\n"
    "Returns\n-------\nSpinResult\n"
    "    wall_ns, held_min_ns, held_max_ns, waited_ns, cycles.\n\n"
    "Raises\n------\nTypeError, ValueError\n"
    "    An argument is not as described; the message names it.\n"
    "KeyboardInterrupt\n"
    "    Ctrl-C, in a call on the main thread.";

static PyStructSequence_Field spin_fields[] = {
    {"wall_ns", "wall time of the call"},
    {"held_min_ns", "time during which the GIL was surely held"},
    {"held_max_ns", "the same, with the time spent taking it and giving it back"},
    {"waited_ns", "time from asking for the GIL to having it, part of held_max_ns"},
    {"cycles", "how often the GIL was released"},
    {NULL, NULL},
};

static PyStructSequence_Desc spin_desc = {
    .name = "gilx.ckernels.SpinResult",
    .doc = "What spin() really did, in nanoseconds.",
    .fields = spin_fields,
    .n_in_sequence = 5,
};

PyTypeObject *gilx_spin_result_type(void) {
    return PyStructSequence_NewType(&spin_desc);
}

typedef struct {
    int64_t wall, held_min, held_max, waited, cycles;
} spin_totals;

typedef struct {
    int64_t hold, release, total;
    bool exponential, sleeps;
    uint64_t state;
} spin_rhythm;

static int64_t draw_length(spin_rhythm *rhythm, int64_t mean) {
    if (!rhythm->exponential) {
        return mean;
    }
    /* The complement of a number in [0, 1) is never 0. The longest lengths are cut, so
     * that sums stay in range. */
    const double length = -log(1.0 - gilx_uniform(&rhythm->state)) * (double)mean;
    return length < 1e18 ? (int64_t)length : 1000000000000000000;
}

/* Stay as we are until the clock says `until`. Returns false when a signal handler
 * raised. A long wait is cut, so that signals are looked at. */
static bool stay(int64_t until, bool sleeps, gilx_interrupt *interrupt) {
    static const int64_t longest_sleep = 10 * 1000 * 1000;
    for (;;) {
        int64_t now = gilx_now_ns();
        /* With the GIL, even a stay that is over before it began checks: all stays
         * may be like that. Without it, a check that takes it would be useless. */
        if (now >= interrupt->next_ns && (now < until || !interrupt->released) &&
            gilx_should_stop(&interrupt->control)) {
            return false;
        }
        if (now >= until) {
            return true;
        }
        if (sleeps) {
            gilx_sleep_ns(least_of(until - now, longest_sleep));
        }
    }
}

/* Runs with the GIL, releases it in its rhythm, returns with it; false when a signal
 * handler raised. */
static bool spin_held(spin_rhythm *rhythm, gilx_interrupt *interrupt, spin_totals *done) {
    const int64_t begin = gilx_now_ns();
    const int64_t end = begin + rhythm->total;
    bool going = true;
    int64_t taken = begin; /* surely held since */
    int64_t now = begin;
    while (going && now < end) {
        interrupt->released = false;
        int64_t hold = draw_length(rhythm, rhythm->hold);
        going = stay(rhythm->release == 0 ? end : least_of(end, taken + hold), false,
                     interrupt);
        int64_t giving = gilx_now_ns();
        done->held_min += giving - taken;
        done->held_max += giving - taken;
        taken = now = giving;
        if (!going || rhythm->release == 0 || now >= end) {
            continue;
        }
        PyThreadState *thread = PyEval_SaveThread();
        int64_t given = gilx_now_ns();
        interrupt->released = true;
        int64_t release = draw_length(rhythm, rhythm->release);
        going = stay(least_of(end, given + release), rhythm->sleeps, interrupt);
        int64_t asking = gilx_now_ns();
        PyEval_RestoreThread(thread);
        taken = now = gilx_now_ns();
        done->held_max += (given - giving) + (taken - asking);
        done->waited += taken - asking;
        ++done->cycles;
    }
    done->wall = gilx_now_ns() - begin;
    return going;
}

/* Which of two words an argument is: 0, 1, or -1 with an exception set. */
static int read_choice(PyObject *given, const char *name, const char *first,
                       const char *second) {
    if (given == NULL) {
        return 0;
    }
    if (PyUnicode_Check(given)) {
        if (PyUnicode_CompareWithASCIIString(given, first) == 0) {
            return 0;
        }
        if (PyUnicode_CompareWithASCIIString(given, second) == 0) {
            return 1;
        }
    }
    PyErr_Format(PyExc_ValueError, "%s: expected '%s' or '%s', got %R", name, first,
                 second, given);
    return -1;
}

PyObject *gilx_spin(gilx_main_thread *main_thread, PyTypeObject *result_type,
                    PyObject *args, PyObject *kwargs) {
    static char *names[] = {"hold_ns",  "release_ns", "total_ns", "rhythm",
                            "released", "seed",       NULL};
    static const int64_t longest = 1000000000000000000; /* sums of two stay in 64 bits */
    PyObject *hold, *release, *total, *rhythm_given = NULL, *released_given = NULL,
                                      *seed_given = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|$OOO:spin", names, &hold,
                                     &release, &total, &rhythm_given, &released_given,
                                     &seed_given)) {
        return NULL;
    }
    spin_rhythm rhythm = {.state = 0};
    int64_t seed = 0;
    if (gilx_read_integer(hold, "hold_ns", 0, longest, PyExc_ValueError, "",
                          &rhythm.hold) < 0 ||
        gilx_read_integer(release, "release_ns", 0, longest, PyExc_ValueError, "",
                          &rhythm.release) < 0 ||
        gilx_read_integer(total, "total_ns", 0, longest, PyExc_ValueError, "",
                          &rhythm.total) < 0 ||
        (seed_given != NULL && gilx_read_integer(seed_given, "seed", 0, INT64_MAX,
                                                 PyExc_ValueError, "", &seed) < 0)) {
        return NULL;
    }
    if (rhythm.hold == 0 && rhythm.release == 0) {
        PyErr_SetString(PyExc_ValueError,
                        "hold_ns: expected at least 1 where release_ns is 0, got 0");
        return NULL;
    }
    int exponential = read_choice(rhythm_given, "rhythm", "fixed", "exponential");
    int sleeps =
        exponential < 0 ? -1 : read_choice(released_given, "released", "spin", "sleep");
    gilx_interrupt interrupt;
    if (sleeps < 0 || gilx_interrupt_begin(&interrupt, main_thread, false, NULL) < 0) {
        return NULL;
    }
    rhythm.exponential = exponential;
    rhythm.sleeps = sleeps;
    rhythm.state = (uint64_t)seed;

    spin_totals done = {0};
    if (!spin_held(&rhythm, &interrupt, &done)) {
        return NULL;
    }
    PyObject *result = PyStructSequence_New(result_type);
    if (result == NULL) {
        return NULL;
    }
    const int64_t values[] = {done.wall, done.held_min, done.held_max, done.waited,
                              done.cycles};
    for (Py_ssize_t i = 0; i < 5; ++i) {
        PyObject *value = PyLong_FromLongLong(values[i]);
        if (value == NULL) {
            Py_DECREF(result);
            return NULL;
        }
        PyStructSequence_SetItem(result, i, value);
    }
    return result;
}

/* ---- rendezvous ------------------------------------------------------------------- */

#define RENDEZVOUS_DOC(variant, keeps)                                                 \
    "rendezvous_" variant "($module, parties, timeout_ns)\n--\n\n"                     \
    "Count how many callers are inside at once. " keeps "\n\n"                         \
    "Each caller waits inside until `parties` of them are, or the time is up. Two\n"   \
    "threads can only meet inside a call that lets the other one run, so the count\n"  \
    "proves whether the GIL is released, with no threshold, and on one core too.\n"    \
    "All callers of the process meet in one place, those of sub-interpreters too.\n\n" \
    "Parameters\n----------\n"                                                         \
    "parties : int, 1 to 2**31 - 1\n"                                                  \
    "    How many callers to wait for.\n"                                              \
    "timeout_ns : int, 0 to 10**18\n"                                                  \
    "    How long to wait for them, in nanoseconds.\n\n"                               \
    "Returns\n-------\nint\n"                                                          \
    "    The most callers seen inside at once since the place was last empty.\n\n"     \
    "Raises\n------\nTypeError, ValueError\n"                                          \
    "    An argument is not as described; the message names it.\n"                     \
    "KeyboardInterrupt\n"                                                              \
    "    Ctrl-C, in a call on the main thread."

const char gilx_rendezvous_gil_doc[] = RENDEZVOUS_DOC("gil", "The GIL is held.");
const char gilx_rendezvous_nogil_doc[] = RENDEZVOUS_DOC("nogil", "The GIL is released.");

/* A place where callers meet: how many are inside (low half) and the most that were
 * since it was last empty (high half), in one word, so that both change together. It
 * belongs to the process, not to an interpreter: two of them can meet as well. */
typedef _Atomic uint64_t meeting_place;

enum { HELD, RELEASED, PLACES };
static meeting_place places[PLACES];
/* How often this thread is inside, more than once if a signal handler calls as well. */
static _Thread_local uint32_t own[PLACES];

static uint32_t inside_of(uint64_t word) {
    return (uint32_t)word;
}
static uint32_t most_of(uint64_t word) {
    return (uint32_t)(word >> 32);
}

static uint64_t meeting(uint32_t most, uint32_t inside) {
    return (uint64_t)most << 32 | inside;
}

/* In the child of a fork nobody is left but the thread that forked. */
static void stay_alone(void) {
    for (int i = 0; i < PLACES; ++i) {
        atomic_store(&places[i], meeting(own[i], own[i]));
    }
}

static void enter(int which) {
    static atomic_flag watched = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&watched)) {
        gilx_at_fork(stay_alone);
    }
    ++own[which];
    meeting_place *place = &places[which];
    uint64_t old = atomic_load(place), new;
    do {
        uint32_t inside = inside_of(old) + 1;
        uint32_t most = most_of(old);
        new = meeting(inside > most ? inside : most, inside);
    } while (!atomic_compare_exchange_weak(place, &old, new));
}

static void leave(int which) {
    --own[which];
    meeting_place *place = &places[which];
    uint64_t old = atomic_load(place), new;
    do {
        uint32_t inside = inside_of(old) - 1;
        new = meeting(inside == 0 ? 0 : most_of(old), inside);
    } while (!atomic_compare_exchange_weak(place, &old, new));
}

static uint32_t wait_inside(int which, uint32_t parties, int64_t timeout,
                            gilx_interrupt *interrupt) {
    static const int64_t nap = 20 * 1000; /* on one core the others must get to run */
    const int64_t until = gilx_now_ns() + timeout;
    enter(which);
    uint32_t most = most_of(atomic_load(&places[which]));
    while (most < parties && gilx_now_ns() < until &&
           !gilx_should_stop(&interrupt->control)) {
        gilx_sleep_ns(nap);
        most = most_of(atomic_load(&places[which]));
    }
    leave(which);
    return most;
}

PyObject *gilx_rendezvous(gilx_main_thread *main_thread, bool released, PyObject *args,
                          PyObject *kwargs) {
    static char *names[] = {"parties", "timeout_ns", NULL};
    PyObject *parties_given, *timeout_given;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, released ? "OO:rendezvous_nogil" : "OO:rendezvous_gil", names,
            &parties_given, &timeout_given)) {
        return NULL;
    }
    int64_t parties, timeout;
    gilx_interrupt interrupt;
    if (gilx_read_integer(parties_given, "parties", 1, INT32_MAX, PyExc_ValueError, "",
                          &parties) < 0 ||
        gilx_read_integer(timeout_given, "timeout_ns", 0, 1000000000000000000,
                          PyExc_ValueError, "", &timeout) < 0 ||
        gilx_interrupt_begin(&interrupt, main_thread, released, NULL) < 0) {
        return NULL;
    }
    uint32_t most;
    if (released) {
        Py_BEGIN_ALLOW_THREADS
        most = wait_inside(RELEASED, (uint32_t)parties, timeout, &interrupt);
        Py_END_ALLOW_THREADS
    } else {
        most = wait_inside(HELD, (uint32_t)parties, timeout, &interrupt);
    }
    return interrupt.raised ? NULL : PyLong_FromUnsignedLong(most);
}
