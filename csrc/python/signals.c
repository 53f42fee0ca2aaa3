#include "signals.h"

#include "../platform/clock.h"
#include "../platform/forks.h"

/* Often enough for a prompt Ctrl-C, seldom enough to cost nothing. */
static const int64_t POLL_EVERY_NS = 20 * 1000 * 1000;

static bool look_for_signals(gilx_control *control) {
    gilx_interrupt *interrupt = (gilx_interrupt *)control;
    if (interrupt->raised) {
        return true;
    }
    if (gilx_now_ns() < interrupt->next_ns) {
        return false;
    }
    int raised;
    if (interrupt->released) {
        PyGILState_STATE gil = PyGILState_Ensure();
        raised = PyErr_CheckSignals();
        /* The thread state outlives this, and keeps the exception until the call ends. */
        PyGILState_Release(gil);
    } else {
        raised = PyErr_CheckSignals();
    }
    if (raised < 0) {
        interrupt->raised = true;
        if (interrupt->cancel != NULL) {
            atomic_store_explicit(interrupt->cancel, 1, memory_order_relaxed);
        }
        return true;
    }
    interrupt->next_ns = gilx_now_ns() + POLL_EVERY_NS;
    return false;
}

/* Ask Python which thread is the main one; 0, or -1 on error. */
static int ask(gilx_main_thread *main_thread) {
    const unsigned forks = gilx_forks();
    PyObject *thread = PyObject_CallNoArgs(main_thread->function);
    if (thread == NULL) {
        return -1;
    }
    PyObject *ident = PyObject_GetAttrString(thread, "ident");
    Py_DECREF(thread);
    if (ident == NULL) {
        return -1;
    }
    const unsigned long number = ident == Py_None ? 0 : PyLong_AsUnsignedLong(ident);
    Py_DECREF(ident);
    if (PyErr_Occurred()) {
        return -1;
    }
    atomic_store(&main_thread->ident, number);
    atomic_store(&main_thread->asked, forks + 1);
    return 0;
}

/* Return 1 if signal handlers run on the current thread, 0 if not, -1 on error. Only the
 * main thread of the main interpreter runs them; for others a check would be useless. */
static int runs_signal_handlers(gilx_main_thread *main_thread) {
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        return 0;
    }
    if (atomic_load(&main_thread->asked) != gilx_forks() + 1 && ask(main_thread) < 0) {
        return -1;
    }
    return atomic_load(&main_thread->ident) == PyThread_get_thread_ident();
}

int gilx_interrupt_begin(gilx_interrupt *interrupt, gilx_main_thread *main_thread,
                         bool released, atomic_uchar *cancel) {
    int may_run_handlers = runs_signal_handlers(main_thread);
    if (may_run_handlers < 0) {
        return -1;
    }
    *interrupt = (gilx_interrupt){
        .control = {.stop = cancel, .tick = may_run_handlers ? look_for_signals : NULL},
        .cancel = cancel,
        .next_ns = may_run_handlers ? gilx_now_ns() + POLL_EVERY_NS : 0,
        .released = released,
    };
    return 0;
}
