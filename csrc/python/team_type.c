#include "team_type.h"

#include <errno.h>
#include <string.h>

#include "../platform/forks.h"
#include "../team/team.h"
#include "buffers.h"
#include "kernel_call.h"
#include "integer_argument.h"

typedef struct {
    PyObject ob_base;
    gilx_team *team; /* NULL once closed */
    int workers;
    /* Twice the value of gilx_forks() when the team was last claimed or given back, plus
     * 1 while it is claimed: a region runs, or the team is being closed. Both are in one
     * word so that only one of two threads gets a team that a fork left claimed. */
    _Atomic uint64_t claimed;
    _Atomic uintptr_t owner; /* the thread that claimed it, 0 if not known */
} team_object;

enum { MOST_WORKERS = 4096 }; /* as in src/gilx/errors.py */

/* ---- one at a time ---------------------------------------------------------------- */

/* Claim the team, closed or not, for this thread; 0, or -1 with RuntimeError set. */
static int claim_any(team_object *self) {
    const uint64_t forks = gilx_forks();
    uint64_t before = atomic_load(&self->claimed);
    do {
        const uintptr_t owner = atomic_load(&self->owner);
        /* Of the threads before a fork, only the one that forked is in this process. */
        const bool gone = before >> 1 != forks && owner != gilx_forking_thread();
        if ((before & 1) != 0 && !gone) {
            PyErr_Format(PyExc_RuntimeError, "the team is in use by %s thread",
                         owner == gilx_this_thread() ? "a call of this" : "another");
            return -1;
        }
    } while (!atomic_compare_exchange_weak(&self->claimed, &before, forks << 1 | 1));
    atomic_store(&self->owner, gilx_this_thread());
    return 0;
}

static void give_back(team_object *self) {
    atomic_store(&self->owner, 0);
    atomic_store(&self->claimed, (uint64_t)gilx_forks() << 1);
}

/* Claim an open team for this thread; 0, or -1 with RuntimeError set. */
static int claim(team_object *self) {
    if (claim_any(self) < 0) {
        return -1;
    }
    if (self->team == NULL) {
        give_back(self);
        PyErr_SetString(PyExc_RuntimeError, "the team was closed");
        return -1;
    }
    return 0;
}

/* ---- regions ---------------------------------------------------------------------- */

typedef void user_function(void *context, int64_t start, int64_t stop);

/* What all workers of a region share. */
typedef struct {
    bool equal_blocks; /* one to each worker, in place of claims */
    int workers;
    int64_t items;
    gilx_control *caller; /* worker 0 polls this, which looks for signals */
    /* Either a kernel's body and its arguments, */
    gilx_body *body;
    const gilx_argument *arguments;
    /* or somebody's function and its context. */
    user_function *function;
    void *context;
    /* Written by workers, so not beside what all of them read. */
    gilx_counter counter;
    _Atomic int64_t done;
    atomic_int status;
} region;

static void region_init(region *it, int64_t items, int64_t grain, int workers,
                        gilx_interrupt *interrupt) {
    *it = (region){.items = items, .workers = workers, .equal_blocks = grain == 0};
    gilx_counter_init(&it->counter, 0, items, grain == 0 ? 1 : grain);
    /* A signal handler that raises in the caller stops everyone. */
    interrupt->cancel = &it->counter.state->cancelled;
    interrupt->control.stop = &it->counter.state->cancelled;
    it->caller = &interrupt->control;
}

static int compute(region *it, gilx_control *control, int64_t start, int64_t stop) {
    if (it->body != NULL) {
        return it->body(it->arguments, start, stop, control);
    }
    if (gilx_should_stop(control)) {
        return GILX_STOPPED;
    }
    it->function(it->context, start, stop);
    return GILX_DONE;
}

static void work(void *context, int worker) {
    region *it = context;
    gilx_control others = {.stop = &it->counter.state->cancelled, .tick = NULL};
    gilx_control *control = worker == 0 ? it->caller : &others;
    int64_t done = 0, start, stop;
    int status = GILX_DONE;
    if (it->equal_blocks) {
        /* In this order, the products stay in range for any number of items. */
        const int64_t whole = it->items / it->workers, rest = it->items % it->workers;
        start = whole * worker + (worker < rest ? worker : rest);
        stop = start + whole + (worker < rest);
        if (start < stop) {
            status = compute(it, control, start, stop);
            done = status == GILX_DONE ? stop - start : 0;
        }
    } else {
        gilx_poll ranges = {control, GILX_RANGES_BETWEEN_POLLS,
                            GILX_RANGES_BETWEEN_POLLS};
        while (status == GILX_DONE && gilx_counter_take(&it->counter, &start, &stop)) {
            status = gilx_poll_stops(&ranges, 1) ? GILX_STOPPED
                                                 : compute(it, control, start, stop);
            done += status == GILX_DONE ? stop - start : 0;
        }
    }
    if (done != 0) {
        atomic_fetch_add(&it->done, done);
    }
    if (status != GILX_DONE) {
        /* Report the failure, and not that the others were stopped because of it. */
        int none = GILX_DONE;
        if (status != GILX_STOPPED) {
            atomic_store(&it->status, status);
        } else {
            atomic_compare_exchange_strong(&it->status, &none, status);
        }
        gilx_counter_cancel(&it->counter);
    }
}

/* Run the region without the GIL; 0, or -1 with OSError set. */
static int run_region(team_object *self, region *it) {
    int error;
    Py_BEGIN_ALLOW_THREADS
    error = gilx_team_run(self->team, work, it, it->caller);
    Py_END_ALLOW_THREADS
    if (error != 0) {
        if (!PyErr_Occurred()) { /* a handler that forked may have raised as well */
            errno = error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        return -1;
    }
    return 0;
}

static gilx_body *const bodies[] = {
#define BODY(name) gilx_##name,
    GILX_KERNELS(BODY)
#undef BODY
};

static gilx_support *support_of(PyObject *self) {
    return PyModule_GetState(PyType_GetModule(Py_TYPE(self)));
}

static int find_kernel(PyObject *given) {
    for (int i = 0; PyUnicode_Check(given) && i < GILX_KERNEL_COUNT; ++i) {
        if (PyUnicode_CompareWithASCIIString(given, gilx_signatures[i].name) == 0) {
            return i;
        }
    }
    PyErr_Format(PyExc_ValueError, "kernel: expected the name of a kernel, got %R",
                 given);
    return -1;
}

/* A grain, 0 for None: equal blocks. */
static int read_grain(PyObject *given, int64_t *grain) {
    *grain = 0;
    return given == Py_None ? 0
                            : gilx_read_integer(given, "grain", 1, INT64_MAX,
                                                PyExc_ValueError, "", grain);
}

static PyObject *team_compute(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    if ((count != 2 && count != 3) || !PyTuple_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "compute() takes a name, a tuple and a grain");
        return NULL;
    }
    PyObject *kernel_given = args[0], *tuple = args[1];
    int64_t grain;
    if (read_grain(count == 3 ? args[2] : Py_None, &grain) < 0) {
        return NULL;
    }
    const int kernel = find_kernel(kernel_given);
    if (kernel < 0) {
        return NULL;
    }
    const gilx_signature *signature = &gilx_signatures[kernel];
    if (PyTuple_GET_SIZE(tuple) != signature->count) {
        return PyErr_Format(PyExc_TypeError, "arguments: expected %d of %s, got %zd",
                            signature->count, signature->name, PyTuple_GET_SIZE(tuple));
    }
    PyObject *values[GILX_MAX_VALUES] = {NULL};
    for (int i = 0; i < signature->count; ++i) {
        values[i] = PyTuple_GET_ITEM(tuple, i);
    }
    team_object *self = (team_object *)object;
    if (claim(self) < 0) {
        return NULL;
    }
    gilx_call call;
    if (gilx_call_begin(&call, support_of(object), signature, values, true) < 0) {
        give_back(self);
        return NULL;
    }
    region it;
    region_init(&it, call.share.stop, grain, self->workers, &call.interrupt);
    it.body = bodies[kernel];
    it.arguments = call.arguments;
    run_region(self, &it); /* gilx_call_end() checks whether it failed */
    give_back(self);
    call.share.done = atomic_load(&it.done);
    return gilx_call_end(&call, atomic_load(&it.status));
}

/* An address, given as a number; 0, or -1 with TypeError or ValueError set. */
static int read_address(PyObject *given, const char *name, void **address) {
    if (!PyLong_Check(given)) {
        PyErr_Format(PyExc_TypeError, "%s: expected an address, got %.100s", name,
                     Py_TYPE(given)->tp_name);
        return -1;
    }
    *address = PyLong_AsVoidPtr(given);
    if (*address == NULL && PyErr_Occurred()) {
        PyErr_Format(PyExc_ValueError, "%s: expected an address, got a number beyond it",
                     name);
        return -1;
    }
    return 0;
}

/* The context of a function: an address, or an object's memory, held by the view. */
static int read_context(PyObject *given, Py_buffer *view, void **address) {
    if (PyLong_Check(given)) {
        return read_address(given, "context", address);
    }
    if (gilx_get_buffer(given, view, PyBUF_SIMPLE, "context",
                        "an address or a C-contiguous buffer", "") < 0) {
        return -1;
    }
    *address = view->buf;
    return 0;
}

static PyObject *team_run(PyObject *object, PyObject *const *args, Py_ssize_t count) {
    int64_t items, grain;
    if (count != 3 && count != 4) {
        return PyErr_Format(PyExc_TypeError, "run() takes 3 or 4 arguments, got %zd",
                            count);
    }
    PyObject *function = args[0], *context = args[1];
    if (gilx_read_integer(args[2], "items", 0, INT64_MAX, PyExc_ValueError, "", &items) <
            0 ||
        read_grain(count == 4 ? args[3] : Py_None, &grain) < 0) {
        return NULL;
    }
    void *address, *data;
    if (read_address(function, "function", &address) < 0) {
        return NULL;
    }
    if (address == NULL) {
        PyErr_SetString(PyExc_ValueError, "function: expected an address, got NULL");
        return NULL;
    }
    Py_buffer view = {.obj = NULL};
    if (read_context(context, &view, &data) < 0) {
        return NULL;
    }
    team_object *self = (team_object *)object;
    gilx_interrupt interrupt;
    if (gilx_interrupt_begin(&interrupt, &support_of(object)->main_thread, true, NULL) <
            0 ||
        claim(self) < 0) {
        PyBuffer_Release(&view);
        return NULL;
    }
    region it;
    region_init(&it, items, grain, self->workers, &interrupt);
    /* ISO C has no cast from data to functions; POSIX makes their pointers alike. */
    memcpy(&it.function, &address, sizeof address);
    it.context = data;
    const int ran = run_region(self, &it);
    give_back(self);
    PyObject *type, *value, *traceback; /* releasing memory may run code */
    PyErr_Fetch(&type, &value, &traceback);
    PyBuffer_Release(&view);
    PyErr_Restore(type, value, traceback);
    if (interrupt.raised || ran < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- life ------------------------------------------------------------------------- */

static PyObject *team_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"workers", "spin_ns", NULL};
    PyObject *workers_given, *spin_given = NULL;
    int64_t workers, spin_ns = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:NativeTeam", names,
                                     &workers_given, &spin_given) ||
        gilx_read_integer(workers_given, "workers", 1, MOST_WORKERS, PyExc_ValueError, "",
                          &workers) < 0 ||
        (spin_given != NULL && gilx_read_integer(spin_given, "spin_ns", 0, 1000000000,
                                                 PyExc_ValueError, "", &spin_ns) < 0)) {
        return NULL;
    }
    team_object *self = (team_object *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    atomic_store(&self->claimed, (uint64_t)gilx_forks() << 1);
    int error;
    Py_BEGIN_ALLOW_THREADS
    self->team = gilx_team_start((int)workers, spin_ns, &error);
    Py_END_ALLOW_THREADS
    self->workers = (int)workers;
    if (self->team == NULL) {
        Py_DECREF(self);
        PyErr_Format(PyExc_OSError, "can't start a team of %lld workers: %s",
                     (long long)workers, strerror(error));
        return NULL;
    }
    return (PyObject *)self;
}

static PyObject *team_close(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    team_object *self = (team_object *)object;
    if (claim_any(self) < 0) {
        return NULL;
    }
    gilx_team *team = self->team;
    self->team = NULL;
    if (team != NULL) {
        Py_BEGIN_ALLOW_THREADS
        gilx_team_free(team);
        Py_END_ALLOW_THREADS
    }
    give_back(self);
    Py_RETURN_NONE;
}

static PyObject *team_settle(PyObject *object, PyObject *Py_UNUSED(ignored)) {
    team_object *self = (team_object *)object;
    if (claim(self) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    gilx_team_settle(self->team);
    Py_END_ALLOW_THREADS
    give_back(self);
    Py_RETURN_NONE;
}

static int team_traverse(PyObject *object, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(object));
    return 0;
}

static void team_dealloc(PyObject *object) {
    team_object *self = (team_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    PyObject_GC_UnTrack(object);
    if (self->team != NULL) {
        /* Idle threads end within microseconds, so the GIL is kept. */
        gilx_team_free(self->team);
    }
    type->tp_free(object);
    Py_DECREF(type);
}

static PyObject *team_workers(PyObject *object, void *Py_UNUSED(closure)) {
    return PyLong_FromLong(((team_object *)object)->workers);
}

PyDoc_STRVAR(
    team_doc,
    "NativeTeam(workers, spin_ns=0)\n--\n\n"
    "Native threads that never touch Python, and run a region together.\n\n"
    "The calling thread is one of the workers. A region releases the GIL once. After\n"
    "it the threads spin for a while, in case another one follows, and then sleep.\n"
    "They end when the team is closed or dropped. In a child after os.fork() a team\n"
    "starts new threads at its next region. A team runs one region at a time.\n\n"
    "Parameters\n----------\n"
    "workers : int\n"
    "    How many, the caller included, 1 to 4096.\n"
    "spin_ns : int\n"
    "    Nanoseconds for which an idle thread spins, 0 to 10**9. Use 0 where there\n"
    "    are more workers than CPUs.\n\n"
    "Raises\n------\nTypeError, ValueError\n"
    "    An argument is not as described; the message names it.\n"
    "OSError\n"
    "    The system refused a thread; none was left running.");

static PyMethodDef team_methods[] = {
    {"compute", (PyCFunction)(void (*)(void))team_compute, METH_FASTCALL,
     "compute($self, kernel, arguments, grain=None, /)\n--\n\n"
     "Run a kernel on all workers.\n\n"
     "Parameters\n----------\n"
     "kernel : str\n    Its name.\n"
     "arguments : tuple\n    Inputs and output, as NAME_nogil takes them.\n"
     "grain : int, optional\n"
     "    Items in one claim, at least 1; by default each worker gets one block, all\n"
     "    equal.\n\n"
     "Returns\n-------\nint\n    Items computed.\n\n"
     "Raises\n------\nTypeError, ValueError, BufferError, IndexError\n"
     "    An argument is not as described; the message names it. Nothing is written.\n"
     "RuntimeError\n    The team was closed, or runs another thread's region.\n"
     "MemoryError, KeyboardInterrupt\n    As for NAME_nogil."},
    {"run", (PyCFunction)(void (*)(void))team_run, METH_FASTCALL,
     "run($self, function, context, items, grain=None, /)\n--\n\n"
     "Run a C function on all workers; see gilx.Team for one that checks it.\n\n"
     "Parameters\n----------\n"
     "function : int\n"
     "    Address of a ``void (void *context, int64_t start, int64_t stop)``, which\n"
     "    must not touch Python.\n"
     "context : int or buffer\n"
     "    First argument of the function: an address, or an object for its memory.\n"
     "items : int\n    It is called for ranges that cover 0 to items, each item once.\n"
     "grain : int, optional\n"
     "    Items in one call, at least 1; by default each worker gets one block.\n\n"
     "Raises\n------\nTypeError, ValueError, RuntimeError\n    As for compute().\n"
     "KeyboardInterrupt\n"
     "    Ctrl-C on the main thread; looked for between calls of the function."},
    {"settle", team_settle, METH_NOARGS,
     "settle($self, /)\n--\n\n"
     "Wait until no thread of the team spins: do so before something else is timed."},
    {"close", team_close, METH_NOARGS,
     "close($self, /)\n--\n\nEnd the threads. Closing twice does nothing."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef team_getset[] = {
    {"workers", team_workers, NULL, "How many workers, the caller included.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot team_slots[] = {
    {Py_tp_doc, (void *)team_doc},
    {Py_tp_new, team_new},
    {Py_tp_dealloc, team_dealloc},
    {Py_tp_traverse, team_traverse},
    {Py_tp_methods, team_methods},
    {Py_tp_getset, team_getset},
    {0, NULL},
};

static PyType_Spec team_spec = {
    .name = "gilx.ckernels.NativeTeam",
    .basicsize = sizeof(team_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = team_slots,
};

PyTypeObject *gilx_team_type(PyObject *module) {
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &team_spec, NULL);
}
