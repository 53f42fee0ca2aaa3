/* gilx.sampling._sampler: the sampler, for Python. */
#include "python_api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>

#include "../sampler/line_table.h"
#include "../sampler/sampler.h"
#include "../sampler/linux_threads.h"
#include "../sampler/monitor.h"
#include "event_loops.h"
#include "free_thread_objects.h"
#include "integer_argument.h"
#include "monitor_objects.h"
#include "own_interpreter.h"
#include "process_objects.h"
#include "real_argument.h"
#include "stack_objects.h"
#include "thread_objects.h"

typedef struct {
    PyTypeObject *sampler_type;
    PyTypeObject *totals_type;
    PyTypeObject *loops_type;
    PyObject *unavailable, *no_gil; /* gilx.errors: WatchUnavailableError, NoGilError */
    bool found;                     /* `gil` is known */
    gilx_gil gil;                   /* of this interpreter */
    bool free_found;                /* `free_threads` is known */
    gilx_free_threads free_threads;
} module_state;

static module_state *state_of(PyObject *module) {
    return PyModule_GetState(module);
}

/* ---- the GIL ---------------------------------------------------------------------- */

/* Open this process's memory. Returns 0, or -1 with an exception set. */
static int open_memory(module_state *state, gilx_memory *memory) {
    const char *name = getenv("GILX_MEMORY");
    bool known = name == NULL || name[0] == '\0';
    for (int way = 0; way < GILX_MEMORY_WAYS; ++way) {
        known = known || strcmp(name, gilx_memory_names[way]) == 0;
    }
    if (!known) {
        PyErr_Format(state->unavailable,
                     "GILX_MEMORY: expected memory file, pipe, process_vm_readv or "
                     "/proc/self/mem, got %.40s",
                     name);
        return -1;
    }
    if (gilx_memory_open(memory, name != NULL && name[0] != '\0' ? name : NULL)) {
        return 0;
    }
    PyErr_Format(state->unavailable,
                 "this process's memory can't be read safely here: %s", strerror(errno));
    return -1;
}

/* Find the GIL, once. Returns 0, or -1 with an exception set. */
static int open_gil(module_state *state, gilx_memory *memory) {
    if (state->found) {
        return 0;
    }
    const char *how = getenv("GILX_FIND_GIL");
    const bool search_only = how != NULL && strcmp(how, "search") == 0;
    if (how != NULL && how[0] != '\0' && !search_only) {
        PyErr_Format(state->unavailable, "GILX_FIND_GIL: expected search, got %.40s",
                     how);
        return -1;
    }
    gilx_gil gil; /* other threads may be here, too, while the GIL is released */
    const gilx_gil_status status = gilx_find_own_gil(&gil, memory, search_only);
    if (status == GILX_GIL_FOUND) {
        state->gil = gil;
        state->found = true;
        return 0;
    }
    PyErr_SetString(status == GILX_GIL_NONE ? state->no_gil : state->unavailable,
                    gil.trouble);
    return -1;
}

/* Find out how threads are read without a GIL, once. Returns 0, or -1 with an exception
 * set. */
static int open_free_threads(module_state *state, gilx_memory *memory) {
    if (state->free_found) {
        return 0;
    }
    gilx_free_threads threads; /* not yet the state's: another thread may be here, too */
    char trouble[300] = "";
    if (!gilx_find_own_free_threads(&threads, memory, trouble)) {
        PyErr_SetString(state->unavailable, trouble);
        return -1;
    }
    state->free_threads = threads;
    state->free_found = true;
    return 0;
}

PyDoc_STRVAR(
    free_backend_doc,
    "free_backend($module, /)\n--\n\n"
    "Find a way to read threads that run without a GIL, and check it.\n\n"
    "The first time, all other threads of the interpreter are stopped three\n"
    "times, each time for a moment.\n\n"
    "Returns\n-------\n(str, str, str)\n"
    "    The way in which memory is read; the reason that locks on which threads\n"
    "    spin can't be read, or ''; and the reason that stops of all threads can't\n"
    "    be read, or ''.\n\n"
    "Raises\n------\nWatchUnavailableError\n"
    "    The threads can't be read, or there is a GIL.");

static PyObject *free_backend(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    module_state *state = state_of(module);
    gilx_memory memory;
    if (open_memory(state, &memory) < 0) {
        return NULL;
    }
    const char *reader = gilx_memory_names[memory.way];
    const int status = open_free_threads(state, &memory);
    gilx_memory_close(&memory);
    const gilx_free_threads *threads = &state->free_threads;
    return status < 0 ? NULL
                      : Py_BuildValue("(sss)", reader,
                                      threads->sections
                                          ? ""
                                          : "critical sections of this Python can't be "
                                            "found",
                                      threads->world_missing);
}

PyDoc_STRVAR(backend_doc,
             "backend($module, /)\n--\n\n"
             "Find the GIL of this interpreter, and check the words that are read.\n\n"
             "Returns\n-------\n(str, str)\n"
             "    The ways in which it was found, and in which memory is read.\n\n"
             "Raises\n------\nWatchUnavailableError\n"
             "    The GIL can't be watched; NoGilError if there is none.");

static PyObject *backend(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    module_state *state = state_of(module);
    gilx_memory memory;
    if (open_memory(state, &memory) < 0) {
        return NULL;
    }
    const char *reader = gilx_memory_names[memory.way];
    const int status = open_gil(state, &memory);
    gilx_memory_close(&memory);
    return status < 0 ? NULL : Py_BuildValue("(ss)", state->gil.backend, reader);
}

PyDoc_STRVAR(own_stack_doc,
             "own_stack($module, /)\n--\n\n"
             "Read the Python stack of the calling thread as the sampler does.\n\n"
             "Returns\n-------\nlist[tuple[str, str, int, int, int, int, int]]\n"
             "    For each frame its function, file, first line, line, end line, column\n"
             "    and end column (in bytes of UTF-8). The innermost one comes first.\n\n"
             "Raises\n------\nWatchUnavailableError\n"
             "    The stack can't be read.");

static PyObject *own_stack(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    module_state *state = state_of(module);
    const gilx_stack_layout *layout = gilx_own_stack_layout();
    if (layout == NULL) {
#ifdef Py_GIL_DISABLED
        PyErr_SetString(state->unavailable,
                        "stacks are not read in free-threaded builds of Python");
#else
        PyErr_SetString(state->unavailable,
                        "the layout of stacks in this Python is not known");
#endif
        return NULL;
    }
    gilx_memory memory;
    if (open_memory(state, &memory) < 0) {
        return NULL;
    }
    if (open_gil(state, &memory) < 0) {
        gilx_memory_close(&memory);
        return NULL;
    }
    return gilx_own_stack(&state->gil.words, layout, &memory, state->unavailable);
}

PyDoc_STRVAR(own_frame_doc,
             "own_frame($module, /)\n--\n\n"
             "Read the innermost Python frame of the calling thread, which runs without\n"
             "a GIL, as the sampler does.\n\n"
             "Returns\n-------\ntuple[str, str, int, int, int, int, int]\n"
             "    One frame, as in own_stack().\n\n"
             "Raises\n------\nWatchUnavailableError\n"
             "    The frame can't be read, or this is not a free-threaded build.");

static PyObject *own_frame(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    module_state *state = state_of(module);
    const gilx_stack_layout *layout = gilx_own_free_stack_layout();
    if (layout == NULL) {
        PyErr_SetString(state->unavailable,
                        "the layout of frames in this Python is not known");
        return NULL;
    }
    gilx_memory memory;
    return open_memory(state, &memory) < 0
               ? NULL
               : gilx_own_frame(layout, &memory, state->unavailable);
}

PyDoc_STRVAR(own_free_stack_doc,
             "own_free_stack($module, /)\n--\n\n"
             "Read the Python stack of the calling thread, which runs without a GIL, as\n"
             "the sampler does for reports.\n\n"
             "Returns\n-------\nlist[tuple[str, str, int, int, int, int, int]]\n"
             "    As own_stack().\n\n"
             "Raises\n------\nWatchUnavailableError\n"
             "    As own_frame().");

static PyObject *own_free_stack(PyObject *module, PyObject *Py_UNUSED(ignored)) {
    module_state *state = state_of(module);
    const gilx_stack_layout *layout = gilx_own_free_stack_layout();
    if (layout == NULL) {
        PyErr_SetString(state->unavailable,
                        "the layout of frames in this Python is not known");
        return NULL;
    }
    gilx_memory memory;
    return open_memory(state, &memory) < 0
               ? NULL
               : gilx_own_free_stack(layout, &memory, state->unavailable);
}

/* ---- totals ----------------------------------------------------------------------- */

/* Fields of the result: name, C expression, description. */
#define TOTALS(INTEGER, REAL)                                                           \
    INTEGER(begin_ns, begin_ns, "begin, on the monotonic clock")                        \
    INTEGER(end_ns, end_ns, "end")                                                      \
    INTEGER(wakes, wakes, "samples")                                                    \
    INTEGER(reads, reads, "reads, in all samples together")                             \
    INTEGER(late, late, "samples that came too late to be used")                        \
    REAL(counted, counted, "length of all slices with a sample")                        \
    REAL(unknown, unknown, "length of the slices whose sample was late")                \
    REAL(unidentified, unidentified, "held by threads that were not identified")        \
    REAL(own_x, own.x, "held by the watched thread")                                    \
    REAL(own_y, own.y, "not held by others")                                            \
    REAL(own_xx, own.xx, "squares of own_x, slice by slice")                            \
    REAL(own_xy, own.xy, "products of own_x and own_y")                                 \
    REAL(own_yy, own.yy, "squares of own_y")                                            \
    REAL(own_dxx, own.dxx, "squares of the steps of own_x from slice to slice")         \
    REAL(own_dxy, own.dxy, "products of the steps of own_x and own_y")                  \
    REAL(own_dyy, own.dyy, "squares of the steps of own_y")                             \
    REAL(locked_x, locked.x, "held by anyone")                                          \
    REAL(locked_y, locked.y, "known time")                                              \
    REAL(locked_xx, locked.xx, "squares of locked_x, slice by slice")                   \
    REAL(locked_xy, locked.xy, "products of locked_x and locked_y")                     \
    REAL(locked_yy, locked.yy, "squares of locked_y")                                   \
    REAL(locked_dxx, locked.dxx, "squares of the steps of locked_x")                    \
    REAL(locked_dxy, locked.dxy, "products of the steps of locked_x and locked_y")      \
    REAL(locked_dyy, locked.dyy, "squares of the steps of locked_y")                    \
    REAL(waiters_x, waiters.x, "number of threads that wait")                           \
    REAL(waiters_y, waiters.y, "time for which that is known")                          \
    REAL(waiters_xx, waiters.xx, "squares of waiters_x, slice by slice")                \
    REAL(waiters_xy, waiters.xy, "products of waiters_x and waiters_y")                 \
    REAL(waiters_yy, waiters.yy, "squares of waiters_y")                                \
    REAL(waiters_dxx, waiters.dxx, "squares of the steps of waiters_x")                 \
    REAL(most_waiters, most_waiters, "largest number of threads that wait")             \
    INTEGER(asked, asked, "number of times that a thread's activity was read")          \
    INTEGER(askable, askable, "number of times that it could have been read")           \
    INTEGER(compared, compared, "cases in which Linux and Python report on a wait")     \
    INTEGER(agreed, agreed, "cases of these in which they agree")                       \
    INTEGER(calls, calls, "whether Linux reports system calls of threads")              \
    INTEGER(addresses, addresses, "whether Linux reports what threads wait for")        \
    INTEGER(unread_errno, unread_errno, "why threads were not listed or read, or 0")    \
    INTEGER(wishes, wishes, "whether Python reports which threads want the GIL")        \
    REAL(lateness, lateness, "sum of the lateness of all samples")                      \
    INTEGER(lateness_max_ns, lateness_max_ns, "largest lateness of a sample")           \
    INTEGER(cost_ns, cost_ns, "CPU time of the sampler")                                \
    INTEGER(slice_ns, slice_ns, "length of a slice, at the end")                        \
    INTEGER(switches, switches, "from holder to holder")                                \
    INTEGER(hold_min_ns, hold_min_ns, "some hold was at least that long")               \
    INTEGER(hold_max_ns, hold_max_ns, "and none was longer")                            \
    INTEGER(stretch_ns, stretch_ns, "longest time in which each read found it held")    \
    INTEGER(stretch_run, stretch_run, "number of samples in it")                        \
    INTEGER(burst_ns, burst_ns, "length of samples in which the watched could run")     \
    INTEGER(releases, releases, "ends of holds within that time")                       \
    REAL(stacks_counted, stacks_counted, "sum of the weights of all samples of stacks") \
    REAL(stacks_squares, stacks_squares, "and of their squares")                        \
    INTEGER(slack, slack, "whether it is woken without timer slack")                    \
    INTEGER(short_turns, short_turns, "whether Linux gives it short turns")

#define FIELD(name, member, text) {#name, text},
static PyStructSequence_Field totals_fields[] = {TOTALS(FIELD, FIELD){NULL, NULL}};

#define ONE(name, member, text) +1
enum { TOTALS_COUNT = 0 TOTALS(ONE, ONE) };

static PyStructSequence_Desc totals_desc = {
    .name = "gilx.sampling._sampler.Totals",
    .doc = "Sums over all samples from begin to end; durations are in nanoseconds.",
    .fields = totals_fields,
    .n_in_sequence = TOTALS_COUNT,
};

/* Set a field of the result; false if its value could not be made. */
static bool set_field(PyObject *result, Py_ssize_t index, PyObject *value) {
    if (value != NULL) {
        PyStructSequence_SetItem(result, index, value);
    }
    return value != NULL;
}

static PyObject *totals_object(PyTypeObject *type, const gilx_totals *totals) {
    PyObject *result = PyStructSequence_New(type);
    Py_ssize_t next = 0;
#define INTEGER(name, member, text) \
    &&set_field(result, next++, PyLong_FromLongLong((long long)totals->member))
#define REAL(name, member, text) \
    &&set_field(result, next++, PyFloat_FromDouble(totals->member))
    const bool complete = result != NULL TOTALS(INTEGER, REAL);
#undef INTEGER
#undef REAL
    if (!complete) {
        Py_CLEAR(result);
    }
    return result;
}

/* ---- Sampler ---------------------------------------------------------------------- */

typedef enum { FRESH, BUSY, RUNNING, STOPPED } phase;

typedef struct {
    PyObject_HEAD gilx_sampler *sampler;
    phase phase;
    double cost;
    bool reference, stacks, calls, monitor, free_threads;
    int64_t seed, capacity, pid;
    gilx_monitor_options monitoring;
    gilx_process_gil process; /* if the GIL is another process's, */
    const char *reader;       /* and how its memory is read */
    PyObject *loops;          /* a LoopTable, or NULL */
} sampler_object;

PyDoc_STRVAR(
    sampler_doc,
    "Sampler(cost, *, reference=False, seed=0, capacity=0, stacks=False,\n"
    "        calls=False, monitor=False, stall=0.0, exits=False, log=0,\n"
    "        loop=0.0, loops=None, pid=0, free_threads=False)\n--\n\n"
    "Sampler of the GIL in a thread of its own, which never takes the GIL.\n\n"
    "Parameters\n----------\n"
    "cost : float\n"
    "    The share of one CPU that it may take, above 0, at most 1.\n"
    "reference : bool\n"
    "    Read all the time, at the cost of a whole CPU.\n"
    "seed : int, 0 to 2**63 - 1\n"
    "    Seed of the times of samples.\n"
    "capacity : int, 0 to 2**24\n"
    "    How many samples to keep for a timeline.\n"
    "stacks : bool\n"
    "    Read the places where the GIL is held, too. Allowed only if own_stack()\n"
    "    returns correct stacks.\n"
    "calls : bool\n"
    "    Keep the calls that led there, if stacks are read.\n"
    "monitor : bool\n"
    "    Its counts can be read while it runs. It keeps no samples and no\n"
    "    places; stacks are read for stalls.\n"
    "stall : float, 0 to 10**9\n"
    "    For a monitor: seconds for which a thread waits for the GIL before a\n"
    "    report is written; 0: no reports.\n"
    "exits : bool\n"
    "    The process ends after such a report, with status 70.\n"
    "log : int, 0 to 2**31 - 1\n"
    "    File descriptor for reports, of which the sampler makes a copy.\n"
    "loop : float, 0 to 10**9\n"
    "    For a monitor: seconds for which a loop does not return to its selector\n"
    "    before a report is written; 0: no reports.\n"
    "loops : LoopTable or None\n"
    "    Event loops to watch.\n"
    "pid : int, 0 to 2**31 - 1\n"
    "    Process whose GIL it samples; 0: this one, as for monitors.\n"
    "free_threads : bool\n"
    "    Watch threads that run without a GIL, in this process. If stacks are "
    "read, they are those of threads\n"
    "    that wait or are waited for.\n\n"
    "Raises\n------\nTypeError, ValueError\n"
    "    An argument is not as described; the message names it.");

static PyObject *sampler_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"cost",  "reference", "seed",  "capacity",     "stacks",
                            "calls", "monitor",   "stall", "exits",        "log",
                            "loop",  "loops",     "pid",   "free_threads", NULL};
    double cost, stall = 0, loop = 0;
    int reference = 0, stacks = 0, calls = 0, monitor = 0, exits = 0, free_threads = 0;
    PyObject *cost_given, *seed_given = NULL, *capacity_given = NULL, *stall_given = NULL,
                          *log_given = NULL, *loop_given = NULL, *loops = Py_None,
                          *pid_given = NULL;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$pOOpppOpOOOOp:Sampler", names, &cost_given, &reference,
            &seed_given, &capacity_given, &stacks, &calls, &monitor, &stall_given, &exits,
            &log_given, &loop_given, &loops, &pid_given, &free_threads)) {
        return NULL;
    }
    if (free_threads && pid_given != NULL) {
        PyErr_SetString(PyExc_ValueError,
                        "free_threads: expected False for another process");
        return NULL;
    }
    PyObject *module = PyType_GetModule(type);
    if (module == NULL) {
        return NULL;
    }
    if (loops != Py_None && !PyObject_TypeCheck(loops, state_of(module)->loops_type)) {
        return PyErr_Format(PyExc_TypeError,
                            "loops: expected a LoopTable or None, got %.100s",
                            Py_TYPE(loops)->tp_name);
    }
    int64_t seed = 0, capacity = 0, log = 0, pid = 0;
    if (gilx_read_real(cost_given, "cost", &cost) < 0 ||
        (seed_given != NULL && gilx_read_integer(seed_given, "seed", 0, INT64_MAX,
                                                 PyExc_ValueError, "", &seed) < 0) ||
        (capacity_given != NULL &&
         gilx_read_integer(capacity_given, "capacity", 0, 1 << 24, PyExc_ValueError, "",
                           &capacity) < 0) ||
        (stall_given != NULL && gilx_read_real(stall_given, "stall", &stall) < 0) ||
        (loop_given != NULL && gilx_read_real(loop_given, "loop", &loop) < 0) ||
        (log_given != NULL && gilx_read_integer(log_given, "log", 0, INT32_MAX,
                                                PyExc_ValueError, "", &log) < 0) ||
        (pid_given != NULL && gilx_read_integer(pid_given, "pid", 0, INT32_MAX,
                                                PyExc_ValueError, "", &pid) < 0)) {
        return NULL;
    }
    if (monitor && pid != 0) {
        PyErr_SetString(PyExc_ValueError,
                        "pid: expected 0 for a monitor, got another process");
        return NULL;
    }
    if (!(stall >= 0 && stall <= 1e9)) {
        PyErr_SetString(PyExc_ValueError, "stall: expected 0 to 10**9 seconds");
        return NULL;
    }
    if (!(loop >= 0 && loop <= 1e9)) {
        PyErr_SetString(PyExc_ValueError, "loop: expected 0 to 10**9 seconds");
        return NULL;
    }
    if (loop > 0 && loops == Py_None) {
        PyErr_SetString(PyExc_ValueError,
                        "loops: expected a LoopTable if loop is above 0, got None");
        return NULL;
    }
    if (!(cost > 0 && cost <= 1)) {
        PyErr_SetString(PyExc_ValueError,
                        "cost: expected a share of a CPU above 0 and at most 1");
        return NULL;
    }
    sampler_object *self = (sampler_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->phase = FRESH;
        self->cost = cost;
        self->reference = reference;
        self->stacks = stacks && !reference;
        self->calls = calls;
        self->seed = seed;
        self->capacity = monitor ? 0 : capacity;
        self->pid = pid;
        self->monitor = monitor;
        self->free_threads = free_threads;
        self->monitoring = (gilx_monitor_options){
            .stall_ns = (int64_t)(stall * 1e9),
            .loop_ns = (int64_t)(loop * 1e9),
            .loops = loops == Py_None ? NULL : gilx_loops_of(loops),
            .exits = exits,
            .log = (int)log};
        self->loops = loops == Py_None ? NULL : Py_NewRef(loops);
    }
    return (PyObject *)self;
}

static int sampler_traverse(PyObject *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((sampler_object *)self)->loops);
    return 0;
}

static void sampler_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    gilx_sampler_free(((sampler_object *)self)->sampler);
    Py_XDECREF(((sampler_object *)self)->loops); /* its thread reads them */
    type->tp_free(self);
    Py_DECREF(type);
}

/* Return whether the object is in this phase; otherwise set RuntimeError. */
static bool in_phase(const sampler_object *self, phase expected) {
    static const char *const words[] = {"was not started", "is just starting or stopping",
                                        "runs", "was stopped"};
    if (self->phase == expected) {
        return true;
    }
    PyErr_Format(PyExc_RuntimeError, "the sampler %s", words[self->phase]);
    return false;
}

/* Open this process's memory, and find its GIL. Returns 0, or -1 with an exception set.
 */
static int open_own(sampler_object *self, module_state *state, gilx_memory *memory,
                    gilx_sampler_options *options, gilx_gil_words *words) {
    if (open_memory(state, memory) < 0) {
        return -1;
    }
    if (open_gil(state, memory) < 0) {
        gilx_memory_close(memory);
        return -1;
    }
    *words = state->gil.words;
    options->watched = gilx_own_tid();
    options->states = state->gil.states;
    options->lock_known = true;
    options->stacks = self->stacks ? gilx_own_stack_layout() : NULL;
    options->collecting = self->stacks ? gilx_own_collecting() : NULL;
    options->code_type = (uintptr_t)&PyCode_Type;
    return 0;
}

/* Open this process's memory, and find out how its threads are read without a GIL. */
static int open_own_free(sampler_object *self, module_state *state, gilx_memory *memory,
                         gilx_sampler_options *options, gilx_gil_words *words) {
    if (open_memory(state, memory) < 0) {
        return -1;
    }
    if (open_free_threads(state, memory) < 0) {
        gilx_memory_close(memory);
        return -1;
    }
    *words = *gilx_free_words();
    options->watched = gilx_own_tid();
    options->states = state->free_threads.states;
    options->free_threads = &state->free_threads;
    options->stacks = self->stacks ? gilx_own_free_stack_layout() : NULL;
    options->code_type = (uintptr_t)&PyCode_Type;
    return 0;
}

/* Open another process's memory, and find its GIL. Its main thread is watched. */
static int open_other(sampler_object *self, module_state *state, gilx_memory *memory,
                      gilx_sampler_options *options, gilx_gil_words *words) {
    gilx_process_gil *found = &self->process;
    if (gilx_open_process(self->pid, found, memory, state->unavailable, state->no_gil) <
        0) {
        return -1;
    }
    if (found->free.places.state != 0) {
        if (found->free.world == 0 && state->free_found &&
            state->free_threads.world != 0 && found->version == Py_Version) {
            gilx_process_world_find(found, memory, gilx_own_offset(&state->free_threads));
        }
        options->free_threads = &found->free;
    }
    self->reader = memory->way == GILX_PROC_SELF_MEM ? "/proc/PID/mem"
                                                     : gilx_memory_names[memory->way];
    *words = found->gil.words;
    options->watched = self->pid;
    options->states = found->gil.states;
    options->lock_known = found->lock_known;
    options->stacks = self->stacks ? found->stacks : NULL;
    options->collecting = found->collecting;
    options->code_type = found->code_type;
    return 0;
}

PyDoc_STRVAR(start_doc, "start($self, /)\n--\n\n"
                        "Start. The watched thread is the calling thread or, of another\n"
                        "process, its main thread.\n\n"
                        "Raises\n------\nWatchUnavailableError\n"
                        "    The GIL can't be watched, or the sampler's thread can't be\n"
                        "    started; NoGilError if there is no GIL.\n"
                        "OSError\n"
                        "    Another process's memory can't be opened.\n"
                        "RuntimeError\n"
                        "    It was started before.");

static PyObject *sampler_start(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    PyObject *module = PyType_GetModule(Py_TYPE(object));
    gilx_memory memory;
    if (module == NULL || !in_phase(self, FRESH)) {
        return NULL;
    }
    module_state *state = state_of(module);
    gilx_sampler_options options = {
        .cost = self->cost,
        .reference = self->reference,
        .seed = (uint64_t)self->seed,
        .capacity = self->capacity,
        .calls = self->calls,
        .monitor = self->monitor ? &self->monitoring : NULL,
    };
    gilx_gil_words words;
    self->phase = BUSY; /* finding and starting let other threads run */
    if ((self->free_threads ? open_own_free
         : self->pid == 0   ? open_own
                            : open_other)(self, state, &memory, &options, &words) < 0) {
        self->phase = FRESH;
        return NULL;
    }
    errno = ENOMEM;
    gilx_sampler *sampler = gilx_sampler_new(&words, &options, &memory);
    if (sampler == NULL) {
        gilx_memory_close(&memory);
        self->phase = FRESH;
        return errno == ENOMEM ? PyErr_NoMemory() : PyErr_SetFromErrno(PyExc_OSError);
    }
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = gilx_sampler_start(sampler);
    Py_END_ALLOW_THREADS
    if (status != 0) {
        gilx_sampler_free(sampler);
        self->phase = FRESH;
        PyErr_Format(state->unavailable,
                     "the GIL watch needs a thread, which could not be started: %s",
                     strerror(status));
        return NULL;
    }
    self->sampler = sampler;
    self->phase = RUNNING;
    gilx_sampler_begin(sampler);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(process_doc,
             "process($self, /)\n--\n\n"
             "Return what was found in another process, after the start.\n\n"
             "Returns\n-------\n(int, int, str, str, bool, bool, str)\n"
             "    The version of its CPython, as sys.hexversion; the switch interval in\n"
             "    microseconds; the way in which the GIL was found; the way in which\n"
             "    memory is read; whether stacks can be read; whether it runs without a\n"
             "    GIL; the reason that its stops of all threads are not read, or ''.\n\n"
             "Raises\n------\nRuntimeError\n"
             "    The sampler was not started, or is not another process's.");

/* Return whether this is a started sampler of another process; otherwise set
 * RuntimeError. */
static bool is_started_elsewhere(const sampler_object *self) {
    if (self->pid != 0 && self->sampler != NULL) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "expected a started sampler of another process");
    return false;
}

static PyObject *sampler_process(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return is_started_elsewhere(self) ? gilx_process_object(&self->process, self->reader)
                                      : NULL;
}

PyDoc_STRVAR(
    lost_doc,
    "lost($self, /)\n--\n\n"
    "Return whether the other process has ended, or executes another program.\n\n"
    "The last sample is from before that.\n\n"
    "Raises\n------\nRuntimeError\n"
    "    As process().");

static PyObject *sampler_lost(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return is_started_elsewhere(self) ? PyBool_FromLong(gilx_sampler_lost(self->sampler))
                                      : NULL;
}

PyDoc_STRVAR(stop_doc,
             "stop($self, /)\n--\n\n"
             "Stop.\n\n"
             "Returns\n-------\nTotals or None\n"
             "    Sums over the samples; None in the child of a fork, where the\n"
             "    sampler does not run.\n\n"
             "Raises\n------\nRuntimeError\n"
             "    It does not run.");

static PyObject *sampler_stop(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    if (!in_phase(self, RUNNING)) {
        return NULL;
    }
    gilx_sampler_end(self->sampler);
    self->phase = BUSY;
    if (gilx_sampler_forked(self->sampler)) {
        self->phase = STOPPED;
        Py_RETURN_NONE;
    }
    Py_BEGIN_ALLOW_THREADS
    gilx_sampler_stop(self->sampler);
    Py_END_ALLOW_THREADS
    self->phase = STOPPED;
    PyObject *module = PyType_GetModule(Py_TYPE(object));
    return module == NULL ? NULL
                          : totals_object(state_of(module)->totals_type,
                                          gilx_sampler_totals(self->sampler));
}

PyDoc_STRVAR(threads_doc,
             "threads($self, /)\n--\n\n"
             "Return the threads of the process that were found, after the stop.\n\n"
             "Returns\n-------\nlist[tuple]\n"
             "    The first is the watched thread. Items, times in nanoseconds:\n\n"
             "    * native id\n"
             "    * time for which it was there\n"
             "    * part of it for which its activities are known\n"
             "    * sum of the squares of these times\n"
             "    * time for which it held the GIL without a CPU\n"
             "    * time for which it waited for a CPU (-1: not known)\n"
             "    * number of times that its activity was read\n"
             "    * for each of ACTIVITIES activities four sums, which\n"
             "      csrc/sampler/thread_activity.h describes");

static PyObject *sampler_threads(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_threads_list(self->sampler) : NULL;
}

PyDoc_STRVAR(samples_doc,
             "samples($self, /)\n--\n\n"
             "Return the samples that were kept, after the stop.\n\n"
             "Returns\n-------\n"
             "list[tuple[int, bool, tuple[tuple[int, int], ...],\n"
             "tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]]\n"
             "    Items: the time in nanoseconds of the monotonic clock; whether it was\n"
             "    late; the threads that held the GIL; those whose CPU clock was read;\n"
             "    those whose activity was read. Each thread is a pair: its place in\n"
             "    threads() (-1: not known) and, in these three, its share of the\n"
             "    sample; its CPU time since its clock was last read, divided by wall\n"
             "    time; the number of its activity. Both shares are times MOST_SHARE.");

static PyObject *sampler_samples(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_samples_list(self->sampler) : NULL;
}

PyDoc_STRVAR(
    held_sites_doc,
    "held_sites($self, /)\n--\n\n"
    "Return where the GIL was held in the samples that were kept, after the stop.\n\n"
    "Returns\n-------\nlist[tuple[int, int, bool, float]]\n"
    "    For each sample: the number of the place in sites() (-1: the GIL was not\n"
    "    held, or stacks were not read), the thread that held it, as its place\n"
    "    in threads() (-1: not known), whether it may have been a line that\n"
    "    was called from there, and for how many nanoseconds the sample stands.");

/* Return the number in sites() of each site, by its number in the tables; NULL if memory
 * runs out. */
static int *listed_numbers(const gilx_sites *sites) {
    const int count = sites == NULL ? 0 : gilx_sites_number(sites);
    int *numbers = malloc(((size_t)count + 1) * sizeof(*numbers));
    if (numbers == NULL) {
        return NULL;
    }
    for (int i = 0, next = 0; i < count; ++i) {
        gilx_site_kind kind;
        const gilx_spot *spot;
        const gilx_function *function;
        const gilx_site *site = gilx_sites_site(sites, i, &kind, &spot, &function);
        numbers[i] = site->samples == 0 ? -1 : next++;
    }
    return numbers;
}

static PyObject *sampler_held_sites(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    if (!in_phase(self, STOPPED)) {
        return NULL;
    }
    int *numbers = listed_numbers(gilx_sampler_sites(self->sampler));
    if (numbers == NULL) {
        return PyErr_NoMemory();
    }
    const Py_ssize_t count = (Py_ssize_t)gilx_sampler_sample_count(self->sampler);
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list != NULL && i < count; ++i) {
        const gilx_sample *sample = gilx_sampler_sample(self->sampler, i);
        const int place = sample->site_place;
        PyObject *item =
            Py_BuildValue("iiOd", sample->site < 0 ? -1 : numbers[sample->site],
                          place == GILX_UNKNOWN_THREAD ? -1 : place,
                          sample->below ? Py_True : Py_False, sample->weight);
        if (item == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, item);
        }
    }
    free(numbers);
    return list;
}

PyDoc_STRVAR(
    sites_doc,
    "sites($self, /)\n--\n\n"
    "Return the places of the program where the GIL was held, after the stop.\n\n"
    "Returns\n-------\nlist[tuple]\n"
    "    Items, times in nanoseconds:\n\n"
    "    * kind (0: a line; 1: a thread that ran no Python code; 2: not known; 3:\n"
    "      lines for which there was no capacity; 4: the garbage collector)\n"
    "    * function, file, first line of the function, line, end line, column and\n"
    "      end column (in bytes of UTF-8)\n"
    "    * place in threads() of the only thread that held it there (-1: several)\n"
    "    * time for which it was held, the sum of the squares of the samples'\n"
    "      lengths, and that of the steps between samples\n"
    "    * part of that time for which a line called from there may have held it\n"
    "    * number of samples\n"
    "    * bounds of the longest stretch, and its number of samples\n"
    "    * time for which other threads waited for the GIL meanwhile, all together,\n"
    "      with the sums of its squares and steps");

static PyObject *sampler_sites(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_sites_list(gilx_sampler_sites(self->sampler))
                                   : NULL;
}

PyDoc_STRVAR(
    waits_doc,
    "waits($self, /)\n--\n\n"
    "Return the places of the program where threads waited, after the stop.\n\n"
    "Returns\n-------\nlist[tuple]\n"
    "    Items: the first eight as in sites(); the time in nanoseconds for which\n"
    "    threads waited there for the GIL, all together, and the sum of its squares;\n"
    "    the same two for other locks; the number of samples.");

static PyObject *sampler_waits(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_waits_list(gilx_sampler_sites(self->sampler))
                                   : NULL;
}

PyDoc_STRVAR(
    free_doc,
    "free_threads($self, /)\n--\n\n"
    "Return what is known of threads that ran without a GIL, after the stop.\n\n"
    "Returns\n-------\ntuple or None\n"
    "    None with a GIL, else (clocks, stops, sites, locks, on). Times are in\n"
    "    nanoseconds, and each sum of squares follows its time.\n\n"
    "    * clocks, for each of threads(): time for which its clock was read; its CPU\n"
    "      time then; time for which it had asked for stops, with squares; time for\n"
    "      which stops waited for it, with squares; time for which it could run, by\n"
    "      samples; the part of it without a CPU, with squares; four sums of the part\n"
    "      of that in which it waited for the lock of an object\n"
    "    * stops, None if they were not read: the sums of gilx_ratio\n"
    "      (csrc/sampler/sampler.h) for the time in which a stop was asked for or went\n"
    "      on; those for the time in which some thread had not stopped; bounds of the\n"
    "      longest stop; the longest time in which each read found one\n"
    "    * sites, for each place in the program: the first eight as in sites(); time\n"
    "      for which stops were asked for there, with squares; time for which they\n"
    "      waited for a thread there, with squares; number of samples\n"
    "    * locks, for each lock: kind (0: of an object; 1: a mutex; 2: an event; 3:\n"
    "      several, by threads that spin; 4: not known); address; type of the object;\n"
    "      time for which threads waited for it, with squares; number of samples\n"
    "    * on: whether the GIL was on in the last sample");

static PyObject *sampler_free(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_free_threads_object(self->sampler) : NULL;
}

PyDoc_STRVAR(
    calls_doc,
    "calls($self, /)\n--\n\n"
    "Return the calls that led to places where the GIL was held, after the stop.\n\n"
    "Returns\n-------\nlist[tuple]\n"
    "    For each call, and for each thread that held the GIL: the number of its\n"
    "    caller in the list (-1: a thread); a label; the place in the program; the\n"
    "    time in nanoseconds for which the GIL was held in this call itself; the\n"
    "    part of it that may belong to a call for which there was no capacity. The\n"
    "    label of a thread is its place in threads() (-1: not known). Labels of\n"
    "    calls below 0 are: -1 not known, -2 no capacity for its place, -3 no\n"
    "    Python code, -4 outer calls that were not read, -5 the caller itself or\n"
    "    any call that it made, -6 the garbage collector. The place is None then,\n"
    "    and of a thread; else it is as in own_stack(). A caller comes before its\n"
    "    calls.");

static PyObject *sampler_calls(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED) ? gilx_calls_list(gilx_sampler_sites(self->sampler))
                                   : NULL;
}

PyDoc_STRVAR(
    longest_holds_doc,
    "longest_holds($self, /)\n--\n\n"
    "Return the longest stretches in which a thread stayed at one instruction\n"
    "and was not sampled without the GIL, after the stop.\n\n"
    "Returns\n-------\nlist[tuple[int, int, int, int, float, float, float]]\n"
    "    Items: the thread's place in threads() (-1: not known); bounds of the\n"
    "    length in nanoseconds; number of samples; the time held at its site, with\n"
    "    squares and steps as in sites(). Those of the watched thread come first.");

static PyObject *sampler_longest_holds(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return in_phase(self, STOPPED)
               ? gilx_longest_holds_list(gilx_sampler_sites(self->sampler))
               : NULL;
}

/* ---- monitors --------------------------------------------------------------------- */

/* Return whether this is a started monitor; otherwise set RuntimeError. */
static bool is_started_monitor(const sampler_object *self) {
    if (self->monitor && self->sampler != NULL) {
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "expected a started monitor");
    return false;
}

/* Return whether this is a started monitor of this process; otherwise set
 * RuntimeError. */
static bool can_be_read(const sampler_object *self) {
    if (!is_started_monitor(self)) {
        return false;
    }
    if (gilx_sampler_forked(self->sampler)) {
        PyErr_SetString(PyExc_RuntimeError, "the sampler is that of the parent process");
        return false;
    }
    return true;
}

PyDoc_STRVAR(
    read_doc,
    "read($self, /)\n--\n\n"
    "Return what a monitor has counted, while it runs or after the stop.\n\n"
    "Returns\n-------\ntuple\n"
    "    Items, times in nanoseconds:\n\n"
    "    * the totals\n"
    "    * bounds of the longest hold since the last reading\n"
    "    * number of stalls of the GIL, and of event loops\n"
    "    * number of bytes of reports that could not be written\n"
    "    * sums of the threads that are no longer listed, and their number\n"
    "    * the other threads, each with its number among all, its native id, whether\n"
    "      it has ended, and its sums\n"
    "    * stops of the world, None with a GIL, or if they are not read: the first two\n"
    "      sums as in free_threads(); the least number of stops; bounds of the longest\n"
    "      stop since the last reading; the longest time in which each read found one\n\n"
    "    Sums of a thread with a GIL: four of holding it and four of waiting for it;\n"
    "    the time for which its activities are known; the squares of its slices.\n"
    "    Without a GIL: six times, each with its squares (running attached, detached,\n"
    "    spinning on locks; waiting for locks, for the world, in other system calls);\n"
    "    time for which it waited for a CPU; time for which it had asked for stops, and\n"
    "    for which stops waited for it, each with squares; time not yet divided.\n\n"
    "Raises\n------\nRuntimeError\n"
    "    It is not a monitor, was not started, or belongs to the parent process.");

static PyObject *sampler_read(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    PyObject *module = PyType_GetModule(Py_TYPE(object));
    if (module == NULL || !can_be_read(self)) {
        return NULL;
    }
    gilx_reading reading;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = gilx_sampler_read(self->sampler, &reading);
    Py_END_ALLOW_THREADS
    if (status != 0) {
        return PyErr_NoMemory();
    }
    PyObject *totals = totals_object(state_of(module)->totals_type, &reading.totals);
    PyObject *ended = totals == NULL ? NULL : gilx_reading_ended(&reading);
    PyObject *threads = ended == NULL ? NULL : gilx_reading_threads(&reading);
    PyObject *world = threads == NULL ? NULL : gilx_reading_world(&reading);
    free(reading.threads);
    if (world == NULL) {
        Py_XDECREF(totals);
        Py_XDECREF(ended);
        Py_XDECREF(threads);
        return NULL;
    }
    const int64_t stalls =
        reading.stalls[GILX_GIL_STALL] + reading.stalls[GILX_WORLD_STALL];
    return Py_BuildValue("NLLLLLNLNN", totals, (long long)reading.longest.low,
                         (long long)reading.longest.high, (long long)stalls,
                         (long long)reading.stalls[GILX_LOOP_STALL],
                         (long long)reading.dropped, ended,
                         (long long)reading.ended_threads, threads, world);
}

PyDoc_STRVAR(
    stalls_doc,
    "stalls($self, /)\n--\n\n"
    "Return the stalls that a monitor reported last, the oldest one first.\n\n"
    "Returns\n-------\nlist[tuple]\n"
    "    Items:\n\n"
    "    * kind (0: the GIL was not released; 1: an event loop was blocked; 2: a stop\n"
    "      of the world went on, or waited for a thread)\n"
    "    * number among all of its kind, from 1\n"
    "    * begin, on the monotonic clock\n"
    "    * bounds of its length in nanoseconds, the upper one -1 if it goes on\n"
    "    * whether it went on when the sampler was stopped\n"
    "    * largest number of threads that waited\n"
    "    * native id of the thread that held the GIL, or of the loop's, and its\n"
    "      function, file and line (0: not known)\n"
    "    * last report on it\n\n"
    "Raises\n------\nRuntimeError\n"
    "    As read().");

static PyObject *sampler_stalls(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return can_be_read(self) ? gilx_stalls_list(self->sampler) : NULL;
}

PyDoc_STRVAR(sees_waiters_doc,
             "sees_waiters($self, /)\n--\n\n"
             "Return whether a monitor knows how many threads wait for the GIL.");

static PyObject *sampler_sees_waiters(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    sampler_object *self = (sampler_object *)object;
    return is_started_monitor(self)
               ? PyBool_FromLong(gilx_sampler_sees_waiters(self->sampler))
               : NULL;
}

PyDoc_STRVAR(note_doc,
             "note($self, text, deadlock='', /)\n--\n\n"
             "Set the texts that a monitor writes after each report.\n\n"
             "Parameters\n----------\n"
             "text : str\n"
             "    UTF-8, of which the first 8191 bytes are kept.\n"
             "deadlock : str\n"
             "    Written before it if the thread that holds the GIL waits for\n"
             "    another lock, and others for the GIL; 511 bytes are kept.");

static PyObject *sampler_note(PyObject *object, PyObject *args) {
    sampler_object *self = (sampler_object *)object;
    PyObject *text, *more = NULL;
    if (!PyArg_ParseTuple(args, "U|U:note", &text, &more)) {
        return NULL;
    }
    const char *note = PyUnicode_AsUTF8(text);
    const char *deadlock = note == NULL || more == NULL ? "" : PyUnicode_AsUTF8(more);
    if (note == NULL || deadlock == NULL || !can_be_read(self)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    gilx_sampler_note(self->sampler, note, deadlock);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    ask_doc,
    "ask($self, wait, /)\n--\n\n"
    "Wait for `wait` seconds without the GIL, then ask for it.\n\n"
    "Meant for a thread that does nothing else. From its wait a monitor finds that the\n"
    "GIL is not released; no other figure includes this wait. Without a GIL, it asks\n"
    "for a stop of all threads, which goes on for a moment.\n\n"
    "Returns\n-------\nbool\n"
    "    False when the monitor is stopped.");

static PyObject *sampler_ask(PyObject *object, PyObject *given) {
    sampler_object *self = (sampler_object *)object;
    double wait;
    if (gilx_read_real(given, "wait", &wait) < 0 || !can_be_read(self)) {
        return NULL;
    }
    bool going;
    Py_BEGIN_ALLOW_THREADS
    going = gilx_sampler_wait_to_ask(self->sampler, (int64_t)(wait * 1e9));
    Py_END_ALLOW_THREADS
    gilx_sampler_asked(self->sampler);
    if (going && self->free_threads) {
        (void)gilx_stop_all_threads(); /* can't fail: checked at the start */
    }
    return PyBool_FromLong(going);
}

static PyMethodDef sampler_methods[] = {
    {"start", sampler_start, METH_NOARGS, start_doc},
    {"stop", sampler_stop, METH_NOARGS, stop_doc},
    {"process", sampler_process, METH_NOARGS, process_doc},
    {"lost", sampler_lost, METH_NOARGS, lost_doc},
    {"threads", sampler_threads, METH_NOARGS, threads_doc},
    {"samples", sampler_samples, METH_NOARGS, samples_doc},
    {"held_sites", sampler_held_sites, METH_NOARGS, held_sites_doc},
    {"sites", sampler_sites, METH_NOARGS, sites_doc},
    {"waits", sampler_waits, METH_NOARGS, waits_doc},
    {"calls", sampler_calls, METH_NOARGS, calls_doc},
    {"free_threads", sampler_free, METH_NOARGS, free_doc},
    {"longest_holds", sampler_longest_holds, METH_NOARGS, longest_holds_doc},
    {"read", sampler_read, METH_NOARGS, read_doc},
    {"stalls", sampler_stalls, METH_NOARGS, stalls_doc},
    {"sees_waiters", sampler_sees_waiters, METH_NOARGS, sees_waiters_doc},
    {"note", sampler_note, METH_VARARGS, note_doc},
    {"ask", sampler_ask, METH_O, ask_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot sampler_slots[] = {
    {Py_tp_doc, (void *)sampler_doc}, {Py_tp_new, sampler_new},
    {Py_tp_dealloc, sampler_dealloc}, {Py_tp_traverse, sampler_traverse},
    {Py_tp_methods, sampler_methods}, {0, NULL},
};

static PyType_Spec sampler_spec = {
    .name = "gilx.sampling._sampler.Sampler",
    .basicsize = sizeof(sampler_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = sampler_slots,
};

/* ---- the module ------------------------------------------------------------------- */

PyDoc_STRVAR(locate_doc,
             "_locate(linetable, first_line, unit, /)\n--\n\n"
             "Find the position of an instruction, for tests.\n\n"
             "Parameters\n----------\n"
             "linetable : bytes\n"
             "    The attribute co_linetable of a code object.\n"
             "first_line : int\n"
             "    Its co_firstlineno.\n"
             "unit : int\n"
             "    The instruction's place, in units of two bytes.\n\n"
             "Returns\n-------\n(int, int, int, int) or None\n"
             "    Its line, end line, column and end column: lines from 1, or 0 if not\n"
             "    known; columns in bytes, or -1 if not known. None if the table has\n"
             "    no such unit, or is malformed.");

static PyObject *locate(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *bytes;
    int first_line, unit;
    if (!PyArg_ParseTuple(args, "Sii:_locate", &bytes, &first_line, &unit)) {
        return NULL;
    }
    gilx_line_search search = {.line = first_line, .unit = unit};
    gilx_position position;
    size_t used;
    const gilx_line_status status =
        gilx_line_find(&search, (const unsigned char *)PyBytes_AS_STRING(bytes),
                       (size_t)PyBytes_GET_SIZE(bytes), true, &used, &position);
    if (status != GILX_LINE_FOUND) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(iiii)", (int)position.line, (int)position.end_line,
                         (int)position.column, (int)position.end_column);
}

static PyMethodDef methods[] = {
    {"backend", backend, METH_NOARGS, backend_doc},
    {"free_backend", free_backend, METH_NOARGS, free_backend_doc},
    {"note_thread_name", gilx_note_name, METH_VARARGS, gilx_note_name_doc},
    {"own_frame", own_frame, METH_NOARGS, own_frame_doc},
    {"own_free_stack", own_free_stack, METH_NOARGS, own_free_stack_doc},
    {"own_stack", own_stack, METH_NOARGS, own_stack_doc},
    {"_locate", locate, METH_VARARGS, locate_doc},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module) {
    module_state *state = state_of(module);
    PyObject *errors = PyImport_ImportModule("gilx.errors");
    if (errors == NULL) {
        return -1;
    }
    state->unavailable = PyObject_GetAttrString(errors, "WatchUnavailableError");
    if (state->unavailable != NULL) {
        state->no_gil = PyObject_GetAttrString(errors, "NoGilError");
    }
    Py_DECREF(errors);
    if (state->no_gil == NULL) {
        return -1;
    }
    state->sampler_type =
        (PyTypeObject *)PyType_FromModuleAndSpec(module, &sampler_spec, NULL);
    if (state->sampler_type == NULL ||
        PyModule_AddType(module, state->sampler_type) < 0) {
        return -1;
    }
    state->totals_type = PyStructSequence_NewType(&totals_desc);
    if (state->totals_type == NULL || PyModule_AddType(module, state->totals_type) < 0) {
        return -1;
    }
    state->loops_type = gilx_loop_types(module);
    if (state->loops_type == NULL) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "MOST_SHARE", GILX_MOST_SHARE) < 0
               ? -1
               : PyModule_AddIntConstant(module, "ACTIVITIES", GILX_ACTIVITIES);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg) {
    module_state *state = state_of(module);
    Py_VISIT(state->sampler_type);
    Py_VISIT(state->totals_type);
    Py_VISIT(state->loops_type);
    Py_VISIT(state->unavailable);
    Py_VISIT(state->no_gil);
    return 0;
}

static int module_clear(PyObject *module) {
    module_state *state = state_of(module);
    Py_CLEAR(state->sampler_type);
    Py_CLEAR(state->totals_type);
    Py_CLEAR(state->loops_type);
    Py_CLEAR(state->unavailable);
    Py_CLEAR(state->no_gil);
    return 0;
}

static void module_free(void *module) {
    (void)module_clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gilx.sampling._sampler",
    .m_doc = "Sampler of the GIL's holder, which does not take the GIL.",
    .m_size = sizeof(module_state),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__sampler(void) {
    return PyModuleDef_Init(&definition);
}
