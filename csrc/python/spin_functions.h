/* The instruments' own kernels: work whose hold of the GIL is known. */
#ifndef GILX_PYTHON_SPIN_FUNCTIONS_H
#define GILX_PYTHON_SPIN_FUNCTIONS_H

#include "signals.h"

/* Create the type of spin()'s result; a new reference, or NULL with an exception set. */
PyTypeObject *gilx_spin_result_type(void);

/* spin(), rendezvous_*() and increment_*(), as their docstrings say.
 *
 *   main_thread  of the module
 *   result_type  what gilx_spin_result_type() made
 *   released     which variant: whether to release the GIL
 *   atomic       likewise: whether additions are atomic */
PyObject *gilx_spin(gilx_main_thread *main_thread, PyTypeObject *result_type,
                    PyObject *args, PyObject *kwargs);
PyObject *gilx_rendezvous(gilx_main_thread *main_thread, bool released, PyObject *args,
                          PyObject *kwargs);
PyObject *gilx_increment_call(gilx_main_thread *main_thread, bool released, bool atomic,
                              PyObject *args, PyObject *kwargs);

extern const char gilx_spin_doc[];
extern const char gilx_rendezvous_gil_doc[];
extern const char gilx_rendezvous_nogil_doc[];
extern const char gilx_increment_gil_doc[];
extern const char gilx_increment_nogil_doc[];
extern const char gilx_increment_atomic_doc[];

#endif
