/* gilx.ckernels.Counter: the work counter as a Python object. */
#ifndef GILX_PYTHON_COUNTER_TYPE_H
#define GILX_PYTHON_COUNTER_TYPE_H

#include "python_api.h"

#include "../team/counter.h"

/* Shared with gilx.cykernels, which claims from the same object. */
typedef struct {
    PyObject ob_base;
    gilx_counter counter;
    Py_buffer memory; /* memory.obj is NULL for a counter that has its own */
} gilx_counter_object;

/* Create the type for `module`; a new reference, or NULL with an exception set. */
PyTypeObject *gilx_counter_type(PyObject *module);

#endif
