/* Looking for signals during a long call, so that Ctrl-C works in it. */
#ifndef GILX_PYTHON_SIGNALS_H
#define GILX_PYTHON_SIGNALS_H

#include "python_api.h"

#include "../kernels/polling.h"

typedef struct {
    gilx_control control; /* first: a gilx_control * is cast back to this */
    atomic_uchar *cancel; /* set when a handler raised, so that fellow calls stop too */
    int64_t next_ns;      /* when to check again */
    bool released;        /* the call runs without the GIL: a check takes it */
    bool raised;          /* a signal handler raised; its exception is set */
} gilx_interrupt;

/* Which thread of this interpreter runs signal handlers. threading.main_thread() tells,
 * but asking takes as long as a small call: the answer is kept until a fork. */
typedef struct {
    PyObject *function; /* threading.main_thread */
    _Atomic unsigned long ident;
    atomic_uint asked; /* 1 + gilx_forks() at the time; 0: never */
} gilx_main_thread;

/* Prepare `interrupt` for a call of the current thread, which holds the GIL.
 *
 *   main_thread  of the calling module
 *   released     whether the kernel will run without the GIL
 *   cancel       a flag that stops the kernel when others set it, or NULL
 *
 * Returns 0, or -1 with an exception set. */
int gilx_interrupt_begin(gilx_interrupt *interrupt, gilx_main_thread *main_thread,
                         bool released, atomic_uchar *cancel);

#endif
