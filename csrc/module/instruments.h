/* The instruments' own kernels: work whose hold of the GIL is known. */
#ifndef GILX_MODULE_INSTRUMENTS_H
#define GILX_MODULE_INSTRUMENTS_H

#include "interrupt.h"

/* Create the type of spin()'s result; a new reference, or NULL with an exception set. */
PyTypeObject *gilx_spin_result_type(void);

/* spin() and rendezvous_gil(), rendezvous_nogil(), as their docstrings say.
 *
 *   main_thread  of the module
 *   result_type  what gilx_spin_result_type() made */
PyObject *gilx_spin(gilx_main_thread *main_thread, PyTypeObject *result_type,
                    PyObject *args, PyObject *kwargs);
PyObject *gilx_rendezvous(gilx_main_thread *main_thread, bool released, PyObject *args,
                          PyObject *kwargs);

extern const char gilx_spin_doc[];
extern const char gilx_rendezvous_gil_doc[];
extern const char gilx_rendezvous_nogil_doc[];

#endif
